"""Log lines as JSON, one a line, on standard error. Ids of learners are never logged in clear."""

import hashlib
import json
import logging
import time


def hashed(user_id: str) -> str:
    """Return what stands for a learner in a log line.

    >>> hashed("u1") == hashed("u1") != hashed("u2"), len(hashed("u1"))
    (True, 12)
    """
    return hashlib.sha256(user_id.encode(errors="surrogatepass")).hexdigest()[:12]


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "at": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(level: str) -> None:
    """Log to standard error from this level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
