"""Given the plan and the snapshot of the cluster, the conditions, as ordered checks that each give a reason."""
