import Ports

/// The node's seam; the methods are in the other extensions.
extension ContainerdRuntimeService: ContainerRuntime {}
