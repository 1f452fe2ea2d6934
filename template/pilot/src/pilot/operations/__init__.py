"""What keeps a service running: alerts, the runbook and its drills, backups."""
