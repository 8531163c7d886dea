"""Validates an upload's lines, fits the encoder, splits them and writes the run's parts."""

from suspicious_lines import store
from suspicious_lines.layout import RunFiles
from suspicious_lines.messages import Dataset
from suspicious_lines.observability import count, entry_point
from suspicious_lines.preprocessing import preprocess
from suspicious_lines.settings import PreprocessSettings
from suspicious_lines.train_messages import PreprocessRequest

settings = PreprocessSettings.from_environment()


@entry_point(PreprocessRequest)
def handler(request: PreprocessRequest) -> Dataset:
    dataset = preprocess(request, settings)
    store.put_json(settings.data_bucket, RunFiles(request.run).parts, dataset.parts)
    count(LinesRead=dataset.lines_read, LinesRejected=dataset.lines_rejected)
    return dataset
