"""What roles need though no recorded call shows it: AWS acts in their name, or tests/workflow does not get there.

Each with the source that says so, or the test that gets there.
"""

from local.cloud import STACK

_LOG_DELIVERY = ("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries")
_LOG_DELIVERY += ("PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups")
_LOGS = ("CreateLogGroup", "CreateLogStream", "PutLogEvents", "DescribeLogStreams")
_TRACES = ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets")
_PLUG_IN = ("CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface")
_PLUG_IN += ("DeleteNetworkInterfacePermission",)
_LOOK_AROUND = ("DescribeDhcpOptions", "DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeSubnets")
_LOOK_AROUND += ("DescribeVpcs",)
_SCHEDULED = ("SweepUploadsFunction", "DeleteOrphansFunction")
_PARK = "sqs:SendMessage arn:aws:sqs:us-east-1:000000000000:UploadsDeadLetterQueue"  # what failed at every try
_MLFLOW = ("SearchExperiments", "CreateExperiment", "SearchRuns", "CreateRun", "UpdateRun", "DeleteRun", "LogBatch")
_RELEASED = ("Train", "Score", "Review")
_SCORED_BY_JOBS = ("validation", "invoices/{model}")
_ENDPOINT = f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{STACK}-{{run}}"
_TRACKING = f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:TargetTracking-endpoint/{STACK}-{{run}}"
_BY_QUEUE = ("ChooseThresholdFunction", "FlagLinesFunction", "FinishTransformFunction", "MeasureDriftFunction")
_COMPONENT = f"arn:aws:sagemaker:us-east-1:000000000000:experiment-trial-component/{STACK}-{{run}}"
_BUCKET = "arn:aws:s3:::DataBucket/runs/{run}"
_ASKED_OF_SCALING = "https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-prerequisites.html"
_SCALING_ROLE = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
_SCALING_ROLE += "/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
_SAGEMAKER_LOGS = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/*"

# (logical id, or type of all that are meant; action, resource and context of each need; why, and the source)
UNRECORDED: list[tuple[str, list[str], str]] = [
    (
        "AWS::StepFunctions::StateMachine",
        [f"logs:{action} *" for action in _LOG_DELIVERY],
        "its executions are logged: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html",
    ),
    (
        "AWS::StepFunctions::StateMachine",
        [f"xray:{action} *" for action in _TRACES],
        "its executions are traced: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html",
    ),
    *(
        (
            f"{name}StateMachine",
            [f"lambda:InvokeFunction arn:aws:lambda:us-east-1:000000000000:function:{STACK}-Stack-Function:r-0badcafe"],
            "runs of releases, which are off by default: tests/workflow/test_releases.py",
        )
        for name in _RELEASED
    ),
    *(
        (
            f"{name}StateMachineUploadRole",
            [
                f"states:StartExecution arn:aws:states:us-east-1:000000000000:stateMachine:{STACK}-{started}"
                for started in (name.lower(), f"{name.lower()}:live")
            ],
            "an upload starts the machine or, where there are releases, its alias: tests/workflow/test_releases.py",
        )
        for name in _RELEASED
    ),
    (
        "SageMakerRole",
        [
            *(f"logs:{action} {_SAGEMAKER_LOGS}" for action in _LOGS),
            "cloudwatch:PutMetricData * cloudwatch:namespace=/aws/sagemaker/TrainingJobs",
            "ecr:GetAuthorizationToken *",
        ],
        "the training and serving containers: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html",
    ),
    (
        "SageMakerRole",
        [
            *(f"ec2:{action} * ec2:Vpc=arn:aws:ec2:us-east-1:000000000000:vpc/Vpc" for action in _PLUG_IN),
            *(f"ec2:{action} *" for action in _LOOK_AROUND),
        ],
        "training in the network: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html",
    ),
    (
        "MonitorStateMachineDaily",
        [f"states:StartExecution arn:aws:states:us-east-1:000000000000:stateMachine:{STACK}-monitor"],
        "the schedule fires once a day: https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html",
    ),
    (
        "ReportFailureFunction",
        [f"sagemaker:StopTrainingJob arn:aws:sagemaker:us-east-1:000000000000:training-job/{STACK}-{{run}}"],
        "a run ends while its job trains, which is over in a second here: tests/unit/test_training.py",
    ),
    (
        "ParkUploadFunction",
        [
            "s3:DeleteObject arn:aws:s3:::DataBucket/parked/{upload}",
            "dynamodb:GetItem arn:aws:dynamodb:us-east-1:000000000000:table/ClaimTable",
        ],
        "a model goes live between two of its calls: tests/unit/test_park_upload.py",
    ),
    (
        "DeleteOrphansFunction",
        ["s3:DeleteObject arn:aws:s3:::DataBucket/runs/{run}/*"],
        "an old run is deleted whole, whatever it has left: tests/workflow/test_orphans.py",
    ),
    (
        "DeleteOrphansFunction",
        [
            f"sagemaker:{action} arn:aws:sagemaker:us-east-1:000000000000:model-package/{STACK}-models/*"
            for action in ("ListModelPackages", "UpdateModelPackage")
        ],
        "a run that is registered becomes old: tests/unit/test_delete_orphans.py, tests/unit/test_registering.py",
    ),
    (
        "RegisterModelFunction",
        [_PARK],
        "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html",
    ),
    *(
        (name, [_PARK], "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html")
        for name in ("TrackRunFunction", "EndSweepFunction")
    ),
    (
        "TrackRunFunction",
        [f"sagemaker:DeleteTrialComponent {_COMPONENT}"],
        "where a trial takes no more components: tests/unit/test_tracking.py",
    ),
    (
        "TrackRunFunction",
        [f"sagemaker-mlflow:{action} {{MlflowServerArn}}" for action in _MLFLOW],
        "a tracking server that SageMaker manages, whose requests boto3 does not make: tests/unit/test_mlflow_runs.py, "
        "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemakerwithmlflow.html",
    ),
    (
        "PreprocessFunction",
        ["s3:GetObject arn:aws:s3:::DataBucket/models/{family}/current.json"],
        "a family trains on what is stored of its lines: tests/unit/test_stored.py",
    ),
    (
        "RestoreModelFunction",
        ["s3:ListBucket arn:aws:s3:::DataBucket"],
        "nothing was ever live: tests/unit/test_restoring.py",
    ),
    *(
        (name, ["s3:ListBucket arn:aws:s3:::DataBucket"], "what it looks for is not there: tests/unit/test_trying.py")
        for name in ("PrepareTrialFunction", "AbandonTrialFunction", "EncodeForChallengerFunction")
    ),
    (
        "ReportTrialFunction",
        ["s3:GetObject arn:aws:s3:::DataBucket/judged/dt={day}/{run}.parquet"],
        "reviewers have judged lines of the trial: tests/workflow/test_review.py reads them by the same code",
    ),
    (
        "LearnFromVerdictsFunction",
        ["s3:PutObject arn:aws:s3:::DataBucket/runs/{run}/results/proposed_suppressions.json"],
        "reviewers find twelve lines of a pattern fine: tests/unit/test_learning.py",
    ),
    (
        "ScheduleRole",
        [
            *(f"lambda:InvokeFunction arn:aws:lambda:us-east-1:000000000000:function:{name}" for name in _SCHEDULED),
            _PARK,
        ],
        "schedules fire when it is time: https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html",
    ),
    *(
        (
            f"{machine.title()}StateMachine",
            [
                f"states:StartExecution arn:aws:states:us-east-1:000000000000:stateMachine:{STACK}-{machine}",
                f"states:DescribeExecution arn:aws:states:us-east-1:000000000000:execution:{STACK}-{machine}/x:y",
                f"states:StopExecution arn:aws:states:us-east-1:000000000000:execution:{STACK}-{machine}/x:y",
                *(f"s3:GetObject arn:aws:s3:::DataBucket/runs/{{run}}/{name}" for name in parts),
            ],
            "a Distributed Map: https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html",
        )
        for machine, parts in (("train", ("parts.json", "champion-parts.json")), ("score", ("parts.json",)))
    ),
    (
        "SageMakerRole",
        [
            need
            for kind in _SCORED_BY_JOBS
            for need in (
                f"s3:ListBucket arn:aws:s3:::DataBucket s3:prefix=runs/{{run}}/features/{kind}/",
                f"s3:GetObject arn:aws:s3:::DataBucket/runs/{{run}}/features/{kind}/part-{{n}}.csv",
                "s3:PutObject arn:aws:s3:::DataBucket/runs/{run}/transformed/{job}/part-{n}.csv.out",
            )
        ],
        "transform jobs act in the name of their model's role, which their requests do not name: "
        "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html",
    ),
    (
        "BatchRole",
        [
            *(f"logs:{action} {_SAGEMAKER_LOGS}" for action in _LOGS),
            "cloudwatch:PutMetricData * cloudwatch:namespace=/aws/sagemaker/ProcessingJobs",
            "ecr:GetAuthorizationToken *",
            *(f"ec2:{action} * ec2:Vpc=arn:aws:ec2:us-east-1:000000000000:vpc/Vpc" for action in _PLUG_IN),
            *(f"ec2:{action} *" for action in _LOOK_AROUND),
        ],
        "the processing job: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html",
    ),
    (
        "StartPreprocessingFunction",
        ["s3:PutObject arn:aws:s3:::DataBucket/code/{layers}.zip", "s3:ListBucket arn:aws:s3:::DataBucket"],
        "the first large file after a deployment; test_invoke.py has shipped the code by then",
    ),
    (
        "FinishTransformFunction",
        [
            "s3:GetObject arn:aws:s3:::DataBucket/runs/{run}/features/judged/part-{n}.csv",
            "s3:GetObject arn:aws:s3:::DataBucket/runs/{run}/lines/judged/part-{n}.parquet",
            "s3:PutObject arn:aws:s3:::DataBucket/runs/{run}/scores/judged/part-{n}.parquet",
        ],
        "a large training file after verdicts: judged lines go the way of planted ones",
    ),
    (
        "SageMakerRole",
        [
            f"s3:PutObject {_BUCKET}/captured/{STACK}-{{run}}/forest/{{hour}}/{{file}}.jsonl",
            f"s3:GetObject {_BUCKET}/async/{{request}}.csv",
            f"s3:PutObject {_BUCKET}/async/answers/{{request}}.out",
            f"s3:PutObject {_BUCKET}/async/failures/{{request}}-error.out",
            "sns:Publish arn:aws:sns:us-east-1:000000000000:ScoredTopic",
            "sns:Publish arn:aws:sns:us-east-1:000000000000:NotScoredTopic",
            "s3:ListBucket arn:aws:s3:::DataBucket s3:prefix=runs/{run}/features/champion/{model}/validation/",
            f"s3:GetObject {_BUCKET}/features/champion/{{model}}/validation/part-{{n}}.csv",
        ],
        "endpoints and transform jobs act in the name of their model's role: docs/hosting.md, "
        "https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-create-endpoint-prerequisites.html",
    ),
    *(
        (
            function,
            [
                f"sagemaker:DescribeEndpointConfig {_ENDPOINT.replace('endpoint/', 'endpoint-config/')}",
                f"sagemaker:UpdateEndpointWeightsAndCapacities {_ENDPOINT}",
                *(
                    f"cloudwatch:{action} {_TRACKING}"
                    for action in ("PutMetricAlarm", "DescribeAlarms", "DeleteAlarms")
                ),
                f"iam:CreateServiceLinkedRole arn:aws:iam::000000000000:role/{_SCALING_ROLE} "
                "iam:AWSServiceName=sagemaker.application-autoscaling.amazonaws.com",
            ],
            f"Application Auto Scaling asks them of who registers a target: {_ASKED_OF_SCALING}",
        )
        for function in ("PromoteModelFunction", "ApproveModelFunction")
    ),
    (
        "PromoteModelFunction",
        [f"cloudwatch:DeleteAlarms arn:aws:cloudwatch:us-east-1:000000000000:alarm:{STACK}-{{run}}-wake"],
        "a promotion drops an asynchronous endpoint, as RefuseModel does: tests/unit/test_hosting_modes.py",
    ),
    (
        "ConcludeTrialFunction",
        [
            "application-autoscaling:DeregisterScalableTarget * application-autoscaling:service-namespace=sagemaker",
            f"cloudwatch:DeleteAlarms arn:aws:cloudwatch:us-east-1:000000000000:alarm:{STACK}-{{run}}-wake",
            f"sagemaker:DescribeModel {_ENDPOINT.replace('endpoint/', 'model/')}",
        ],
        "replaces and deletes models of former modes, by PromoteModel's code: tests/unit/test_hosting_modes.py",
    ),
    *(
        (
            function,
            [
                f"sagemaker:InvokeEndpointAsync {_ENDPOINT}",
                f"s3:PutObject {_BUCKET}/async/{{request}}.csv",
                f"s3:PutObject {_BUCKET}/async/{{request}}.json",
                f"s3:GetObject {_BUCKET}/async/{{request}}.json",
                f"s3:GetObject {_BUCKET}/async/answers/{{request}}.out",
                f"s3:GetObject {_BUCKET}/async/failures/{{request}}-error.out",
                "s3:ListBucket arn:aws:s3:::DataBucket",
            ],
            "scores by a queue in the mode async, as ScoreLines does: tests/unit/test_asynchronous.py",
        )
        for function in (
            "ChooseThresholdFunction",
            "FlagLinesFunction",
            "FinishTransformFunction",
            "MeasureDriftFunction",
        )
    ),
    (
        "StartTransformFunction",
        [
            f"s3:GetObject {_BUCKET}/features/judged/part-{{n}}.csv",
            "s3:ListBucket arn:aws:s3:::DataBucket",
        ],
        "the mode batch after verdicts, and a first job of a run: tests/unit/test_start_transform.py",
    ),
    (
        "IngestFeaturesFunction",
        [
            f"s3:GetObject {_BUCKET}/challenger.json",
            f"s3:GetObject {_BUCKET}/features/challenger/{{model}}/part-{{n}}.csv",
            f"s3:GetObject {_BUCKET}/lines/challenger/{{model}}/part-{{n}}.parquet",
        ],
        "a feature store while a model is on trial: tests/unit/test_ingest_features.py",
    ),
    (
        "OfflineStoreRole",
        [
            "s3:PutObject arn:aws:s3:::DataBucket/features/{store}",
            "s3:PutObjectAcl arn:aws:s3:::DataBucket/features/{store}",
            "s3:GetBucketAcl arn:aws:s3:::DataBucket",
            *(
                f"glue:{action} arn:aws:glue:us-east-1:000000000000:{where}"
                for action in ("GetTable", "UpdateTable")
                for where in ("catalog", "database/FeatureDatabase", "table/FeatureDatabase/lines")
            ),
        ],
        "the offline store: "
        "https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonSageMakerFeatureStoreAccess.html",
    ),
    *(
        (name, [_PARK], "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html")
        for name in ("ReportFailureFunction", *_SCHEDULED, "DeleteHostedFunction", "IngestFeaturesFunction")
    ),
]
# A processing job runs the library code of these functions in the name of its role, not all of it in the tests.
SAME_CODE = {"BatchRole": ("PreprocessFunction", "EncodeLinesFunction")}
# But for what they do while a model is on trial, which jobs leave out: a transform job has one model.
NOT_OF_JOBS = "/challenger"
# Policies of AWS's own that functions have, as SAM gives them: what for.
MANAGED = {
    "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole": "a function writes its logs",
    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess": "a function writes its traces",
    "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole": "Lambda connects it to the network",
}
