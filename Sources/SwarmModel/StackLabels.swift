/// Labels that make single objects a stack; the daemon reads only `revision`.
package enum StackLabel {
    /// On every object of a stack: its name.
    package static let namespace = "com.docker.stack.namespace"
    /// On a service: the image as the file has it.
    package static let image = "com.docker.stack.image"
    /// On a config that holds what was deployed: the deployment's number. Lists show such configs only when asked.
    package static let revision = "com.swarmd.stack.revision"
    /// On a revision: who deployed it.
    package static let author = "com.swarmd.stack.author"
    /// On a revision: what it came from, such as `deploy` or `rollback to 3`.
    package static let origin = "com.swarmd.stack.origin"
    /// On a later version of a secret or config: the name that the stack file knows it by.
    package static let versionOf = "com.swarmd.stack.version-of"
}
