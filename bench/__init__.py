"""What `coursestream bench` measures, each figure beside a reference from the same run."""
