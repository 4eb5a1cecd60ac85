"""What every room stands on: errors, checks of input, files, caches, array libraries, threads, the JIT."""
