import SwarmModel
import Testing

@Suite struct ImageReferenceTests {
    @Test(arguments: [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("user/app:1", "docker.io/user/app", "user/app"),
        ("localhost:5000/app", "localhost:5000/app", "localhost:5000/app"),
        ("registry.example/a/b:tag", "registry.example/a/b", "registry.example/a/b"),
    ])
    func `names are completed as Docker completes them`(text: String, repository: String, familiar: String) {
        #expect(ImageReference(text)?.repository == repository)
        #expect(ImageReference(text)?.familiarName == familiar)
    }

    @Test(arguments: ["", "UPPER", "a:b:c", "a@sha256:short", ":tag", "a/", "-a"])
    func `what breaks the grammar is refused`(text: String) { #expect(ImageReference(text) == nil) }
}
