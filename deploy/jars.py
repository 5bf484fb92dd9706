"""The jars of Apache Kafka, resolved once from Maven Central.

A command, so that a long download can be interrupted: `python -m deploy.jars FILE` writes the class path to FILE.
"""

import os
import sys
from pathlib import Path
from typing import Final

KAFKA_VERSION: Final = "4.3.0"
_COORDINATES: Final = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_CACHED_AS: Final = f"org/apache/kafka/kafka_2.13/{KAFKA_VERSION}/kafka_2.13-{KAFKA_VERSION}.jar"


def _is_cached() -> bool:
    from jgo.config import GlobalSettings

    return Path(GlobalSettings.load().repo_cache, _CACHED_AS).exists()


def write_class_path(target: Path) -> None:
    """Write the class path of Kafka to a file, downloading what is missing."""
    import jgo

    if not _is_cached():
        print(f"downloading Apache Kafka {KAFKA_VERSION} (44 MB), once", file=sys.stderr)
    jars = jgo.build(_COORDINATES).all_jars
    staged = target.with_suffix(".new")
    staged.write_text(os.pathsep.join(str(jar) for jar in jars))
    staged.rename(target)


def read_class_path(path: Path) -> str | None:
    """Return the class path in a file, or None if there is none or one of its jars is gone."""
    if not path.exists():
        return None
    class_path = path.read_text()
    return class_path if all(Path(jar).exists() for jar in class_path.split(os.pathsep)) else None


if __name__ == "__main__":
    write_class_path(Path(sys.argv[1]))
