"""The alerter: publishes failures, outcomes and their corrections from what the projector laid down."""
