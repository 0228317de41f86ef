import Testing

@testable import Compose

/// Our reading against that of the Docker client on this machine, over every file of the corpus.
@Suite struct DifferentialTests {
    static let reason = "no docker client in /usr/local/bin or /usr/bin: nothing to compare with"

    /// Where strict loading and the client part, and why.
    static let known: [String: String] = [
        "yaml-dates": "go-yaml makes a time of an unquoted date and prints it with a clock; to us it is text",
        "yaml-question-mark-in-flow": "go-yaml stops at a question mark within braces; YAML does not",
    ]

    @Test(.enabled(if: DockerClient.path != nil, Comment(rawValue: reason)))
    func `strict loading prints and refuses what docker stack config does`() throws {
        var (same, refused, reworded) = (0, 0, [String]())
        for project in Fixtures.projects where Self.known[project.name] == nil {
            let docker = try DockerClient.config(project.files, in: Fixtures.corpus)
            do throws(StackFileErrors) {
                let ours = try StackLoader.load(project.files, Fixtures.options(.docker), from: FilesOnDisk())
                    .rendered
                guard let theirs = docker.output else {
                    Issue.record("\(project.name): docker refuses it, we do not: \(docker.complaint)")
                    continue
                }
                if ours == theirs {
                    same += 1
                } else {
                    Issue.record("\(project.name): \(Self.difference(ours, theirs))")
                }
            } catch {
                guard docker.output == nil else {
                    Issue.record("\(project.name): docker takes it, we do not: \(error)")
                    continue
                }
                refused += 1
                let words = error.diagnostics.map(\.dockerText)
                let theirs = docker.complaint.split(separator: "\n").filter { !$0.hasPrefix("time=") }.joined(
                    separator: "\n")
                if !words.contains(where: theirs.contains) {
                    reworded.append("\(project.name): \(theirs) | \(words)")
                }
            }
        }
        print(
            "compose corpus: \(same) printed alike, \(refused) refused alike, \(refused - reworded.count) in the same words"
        )
        for line in reworded { print("  other words: \(line)") }
        #expect(same + refused > 150)
    }

    /// The first line in which two texts differ.
    static func difference(_ ours: String, _ theirs: String) -> String {
        let (left, right) = (
            ours.split(separator: "\n", omittingEmptySubsequences: false),
            theirs.split(separator: "\n", omittingEmptySubsequences: false)
        )
        for index in 0..<max(left.count, right.count) {
            let (one, other) = (
                index < left.count ? left[index] : "(end)", index < right.count ? right[index] : "(end)"
            )
            if one != other { return "line \(index + 1): ours '\(one)', docker's '\(other)'" }
        }
        return "nowhere"
    }
}
