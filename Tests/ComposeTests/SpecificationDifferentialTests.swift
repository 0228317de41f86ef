import Testing

@testable import Compose

/// By the Compose Specification's rules we still print what the Docker client prints, for every file that it takes.
@Suite struct SpecificationDifferentialTests {
    /// Where the specification says something else than the client does, or the client errs.
    static let known: [String: String] = [
        "interpolation-forms":
            "the client reads a default after a name without braces: $V-c; the specification does not",
        "interpolation-unbraced-defaults": "the same",
        "interpolation-no-nesting": "the specification nests: ${A:-${B}}; the client ends at the first brace",
        "interpolation-octal-mode": "the client reads an interpolated 0440 as the decimal 440, which nobody means",
        "merge-everything": "lists without repeats, a zero or an empty text replaces, networks merge by key",
        "merge-other-logging-driver": "an empty command replaces the earlier file's",
        "networks-extensions": "the client forgets the extensions of networks and volumes that are not external",
        "service-oom-score": "the client reads oom_score_adj, and neither prints nor sends it",
        "secrets-forms": "the specification takes ~ in a secret's file for the home directory",
        "secrets-odd-forms": "a secret of which nothing is said is refused here, and by the client when it deploys",
        "service-build-url": "the client forgets build.shm_size",
        "service-build-long": "the same, and what the client does not know of build",
        "service-env-files-and-environment": "the client takes an empty value for one to look up",
        "service-references-with-zeros":
            "a reference to nothing is refused here, and by the client when it deploys",
        "volumes-long": "bind.create_host_path is kept, for it has a meaning to us",
        "volumes-long-with-unknown-options": "bind.selinux is kept, and warned of",
        "yaml-block-scalars": "the client's printer loses a line break that a text begins with",
        "yaml-quoting-of-texts": "the same",
    ]

    @Test(.enabled(if: DockerClient.path != nil, Comment(rawValue: DifferentialTests.reason)))
    func `what Docker takes is read alike, but for listed differences`() throws {
        var same = 0
        for project in Fixtures.projects
        where DifferentialTests.known[project.name] == nil && Self.known[project.name] == nil {
            guard let theirs = try DockerClient.config(project.files, in: Fixtures.corpus).output else { continue }
            do throws(StackFileErrors) {
                let ours = try StackLoader.load(
                    project.files, Fixtures.options(.specification), from: FilesOnDisk()
                ).rendered
                func body(_ text: String) -> String {
                    text.split(separator: "\n", omittingEmptySubsequences: false).filter {
                        !$0.hasPrefix("version:")
                    }
                    .joined(separator: "\n")
                }
                if body(ours) == body(theirs) { same += 1; continue }
                Issue.record("\(project.name): \(DifferentialTests.difference(body(ours), body(theirs)))")
            } catch {
                Issue.record("\(project.name): \(error)")
            }
        }
        print("compose corpus, by the specification: \(same) printed alike")
    }
}
