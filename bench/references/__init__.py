"""What look-ups are measured against: written as their authors would, served by the same server with the same loop."""
