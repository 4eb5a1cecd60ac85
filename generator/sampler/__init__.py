"""q2 and angles, exactly: random numbers, node tables, one event, loops on the CPU, kernels on a GPU."""
