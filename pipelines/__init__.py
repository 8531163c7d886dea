"""The training flow as a SageMaker Pipeline, for teams that want it there. See docs/pipelines.md."""
