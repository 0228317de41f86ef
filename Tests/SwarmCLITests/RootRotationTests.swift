import SwarmModel
import Testing

@testable import SwarmCLI

@Suite struct RootRotationTests {
    private let wanted = TLSInfo(trustRoot: "abc", certIssuerSubject: "s", certIssuerPublicKey: "k")

    private func node(_ info: TLSInfo) -> Node {
        var node = Node(id: "n")
        node.description.tlsInfo = info
        return node
    }

    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func `digests are those of the standard`(_ text: String, _ digest: String) {
        #expect(Digest.sha256(Array(text.utf8)) == digest)
    }

    @Test func `where nobody watches, only the wanted root is said, and again when it changes`() {
        var progress = RootRotationProgress(isTerminal: false, columns: 0)
        var cluster = Cluster(id: "c")
        (cluster.tlsInfo, cluster.rootRotationInProgress) = (wanted, true)
        let look1 = progress.take(cluster, [node(wanted)])
        #expect(!look1)
        #expect(
            progress.takeText() == """
                desired root digest: \n  rotated TLS certificates: \n  rotated CA certificates:  \n\
                desired root digest: sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n
                """)
        let look2 = progress.take(cluster, [node(wanted)])
        #expect(!look2)
        #expect(progress.takeText() == "")
        cluster.tlsInfo.trustRoot = ""
        cluster.rootRotationInProgress = false
        let look3 = progress.take(cluster, [node(wanted)])
        #expect(!look3)
        #expect(
            progress.takeText()
                == "desired root digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n")
        var last = wanted
        last.trustRoot = ""
        let look4 = progress.take(cluster, [node(last)])
        #expect(look4)
    }

    @Test func `a terminal shows how many have the certificate, and then how many forgot the old root`() {
        var progress = RootRotationProgress(isTerminal: true, columns: 120)
        _ = progress.takeText()
        var cluster = Cluster(id: "c")
        (cluster.tlsInfo, cluster.rootRotationInProgress) = (wanted, true)
        var other = wanted
        other.certIssuerPublicKey = "old"
        let look5 = progress.take(cluster, [node(wanted), node(other)])
        #expect(!look5)
        let half = String(repeating: "=", count: 25) + ">" + String(repeating: " ", count: 25)
        let none = ">" + String(repeating: " ", count: 50)
        var text = progress.takeText()
        #expect(text.contains("  rotated TLS certificates:  [\(half)] 1/2 nodes"))
        #expect(text.contains("  rotated CA certificates:   [\(none)] 0/2 nodes"))
        cluster.rootRotationInProgress = false
        let look6 = progress.take(cluster, [node(wanted), node(wanted)])
        #expect(look6)
        text = progress.takeText()
        #expect(text.contains("  rotated CA certificates:   [\(String(repeating: "=", count: 50))>] 2/2 nodes"))
    }
}
