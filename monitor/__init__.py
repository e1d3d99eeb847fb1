"""Whether KubeArmor's policies are in force on the containers of a Kubernetes cluster."""
