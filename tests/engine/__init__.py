"""Tests of the SageMaker engine, driven with plain boto3 as any client would."""
