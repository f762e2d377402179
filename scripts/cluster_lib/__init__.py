"""Two nodes, a balancer, PostgreSQL and Redis on loopback: `scripts/cluster`."""
