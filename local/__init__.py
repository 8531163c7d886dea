"""The embedded AWS and the SageMaker engine for laptops and tests; never deployed."""
