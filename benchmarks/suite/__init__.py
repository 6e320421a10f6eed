"""The benchmark suite: tasks with known truth and floor, methods, and what they need of each."""
