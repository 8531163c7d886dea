"""The built-in image by hand, from a CSV to a serverless endpoint, as an architecture review shows it."""

import pandas as pd
import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.serializers import CSVSerializer
from sagemaker.serverless import ServerlessInferenceConfig

session = sagemaker.Session()
role = "arn:aws:iam::000000000000:role/engine-tests"  # on AWS: sagemaker.get_execution_role()
bucket = session.default_bucket()
prefix = "rcf-anomaly-detection"

lines = pd.read_csv("activities.csv")
features = pd.get_dummies(lines[["Matter Type", "Resource", "Activity", "Minutes", "Fee"]], dtype=float)
features.to_csv("features.csv", header=False, index=False)
train = session.upload_data("features.csv", bucket=bucket, key_prefix=f"{prefix}/train")

rcf = Estimator(
    image_uri=image_uris.retrieve("randomcutforest", session.boto_region_name),
    role=role,
    instance_count=1,
    instance_type="ml.m5.large",
    output_path=f"s3://{bucket}/{prefix}/output",
    sagemaker_session=session,
    base_job_name=prefix,
    tags=[{"Key": "project", "Value": prefix}],
)
rcf.set_hyperparameters(feature_dim=features.shape[1], num_trees=50, num_samples_per_tree=100)
rcf.fit({"train": TrainingInput(train, content_type="text/csv;label_size=0", distribution="ShardedByS3Key")})

predictor = rcf.deploy(
    serverless_inference_config=ServerlessInferenceConfig(memory_size_in_mb=2048, max_concurrency=5),
    serializer=CSVSerializer(),
    deserializer=JSONDeserializer(),
)
scores = [each["score"] for each in predictor.predict(features.to_numpy())["scores"]]
lines.assign(Score=scores).to_csv("scored.csv", index=False)

predictor.delete_model()
predictor.delete_endpoint()
