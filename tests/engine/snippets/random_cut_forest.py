"""The SDK's class of the algorithm, which sends and gets RecordIO-protobuf, as AWS's example notebook shows it."""

import numpy as np
import sagemaker
from sagemaker import RandomCutForest

session = sagemaker.Session()
role = "arn:aws:iam::000000000000:role/engine-tests"  # on AWS: sagemaker.get_execution_role()
bucket = session.default_bucket()
prefix = "rcf-benchmarks"

rides = np.random.default_rng(7).poisson(15_000, size=(4_000, 2))
rides[-1] = 39_197, 120  # the one that is to be found

rcf = RandomCutForest(
    role=role,
    instance_count=1,
    instance_type="ml.m5.large",
    data_location=f"s3://{bucket}/{prefix}/",
    output_path=f"s3://{bucket}/{prefix}/output",
    num_samples_per_tree=512,
    num_trees=50,
)
rcf.fit(rcf.record_set(rides.astype(np.float32)))

predictor = rcf.deploy(initial_instance_count=1, instance_type="ml.m5.large")
results = predictor.predict(rides.astype(np.float32))
scores = [record.label["score"].float32_tensor.values[0] for record in results]
np.savetxt("scores.csv", scores)

predictor.delete_model()
predictor.delete_endpoint()
