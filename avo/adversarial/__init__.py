"""Adversarial variational optimization: the steps, their gradient, the metric, proposals, the critic's update."""
