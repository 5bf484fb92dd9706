"""Which model was live from which epoch on."""

from aiokafka import ConsumerRecord

from adapters.follow import ControlLog


class ModelLog(ControlLog):
    """The topic `control`, remembering the version behind every model epoch."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(bootstrap_servers)
        self._versions: dict[int, str] = {}

    def take(self, record: ConsumerRecord) -> None:
        """Fold one decision."""
        super().take(record)
        self._versions[self.state.model_epoch] = self.state.model_version

    def version_of(self, model_epoch: int) -> str:
        """Return the model that was promoted at an epoch; empty if there was none."""
        return self._versions.get(model_epoch, "")
