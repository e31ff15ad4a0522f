"""From a request to a plan, and from a plan to an accelerated model."""
