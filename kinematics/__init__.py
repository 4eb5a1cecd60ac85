"""Decay kinematics: phase space, frames, and what every room above shares."""
