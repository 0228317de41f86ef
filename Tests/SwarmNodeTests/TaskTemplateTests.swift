import Ports
import Store
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

@Suite struct TaskTemplateTests {
    private func node() -> NodeHarness {
        var node = NodeHarness()
        node.start()
        return node
    }

    @Test func `placeholders become the task's own values`() throws {
        var node = node()
        var spec = NodeHarness.spec("web", replicas: 2)
        spec.labels = ["tier": "front"]
        spec.taskTemplate.containerSpec?.hostname = "{{.Service.Name}}-{{.Task.Slot}}"
        spec.taskTemplate.containerSpec?.env = [
            "NODE={{.Node.Hostname}}/{{.Node.Platform.OS}}", "TIER={{index .Service.Labels \"tier\"}}", "PLAIN=x",
        ]
        spec.taskTemplate.containerSpec?.mounts = [
            Mount(type: "volume", source: "data-{{.Task.Slot}}", target: "/data/{{.Task.Slot}}")
        ]
        let id = try node.createService(spec)
        for task in node.running(id) {
            let container = try #require(task.status.containerStatus?.containerID)
            let made = try #require(node.requests[container]).spec
            let slot = try #require(task.slot)
            #expect(made.hostname == "web-\(slot)")
            #expect(made.env == ["NODE=node-1/linux", "TIER=front", "PLAIN=x"])
            #expect(made.mounts?.first?.source == "data-\(slot)")
            #expect(made.mounts?.first?.target == "/data/\(slot)")
        }
        #expect(node.running(id).count == 2)
    }

    @Test(arguments: ["{{.Foo", "{{.Nope}}", "{{.Service.Nope}}", "{{nosuchfunction 1}}"])
    func `a template that no task could expand is refused at creation`(text: String) throws {
        var node = node()
        var spec = NodeHarness.spec("web")
        spec.taskTemplate.containerSpec?.hostname = text
        guard case .failure(let error)? = node.request(.createService(spec, registryAuth: nil)) else {
            Issue.record("\(text) was accepted")
            return
        }
        #expect(error.code == .invalidArgument)
        #expect(
            error.message.hasPrefix("rpc error: code = InvalidArgument desc = expanding hostname failed: template: "))
        #expect(node.store.services.count == 0)
    }
}

/// What is refused at creation, in Docker's words.
@Suite struct MountValidationTests {
    @Test(arguments: [
        (Mount(type: "volume", target: "x"), "invalid mount path: 'x' mount path must be absolute"),
        (Mount(type: "volume"), "field Target must not be empty"),
        (Mount(type: "volume", target: "/"), "destination can't be '/'"),
        (Mount(type: "bind", source: "a", target: "/x"), "invalid mount path: 'a' mount path must be absolute"),
        (Mount(type: "bind", target: "/x"), "field Source must not be empty"),
        (Mount(type: "tmpfs", source: "a", target: "/x"), "field Source must not be specified"),
        (Mount(type: "nfs", target: "/x"), "invalid MountType: \"nfs\""),
        (Mount(type: "tmpfs", target: "/x", volumeOptions: VolumeOptions()), "field VolumeOptions must not be specified"),
    ])
    func `mounts that no node could make`(mount: Mount, words: String) throws {
        var node = NodeHarness()
        node.start()
        var spec = NodeHarness.spec("web")
        spec.taskTemplate.containerSpec?.mounts = [mount]
        guard case .failure(let error)? = node.request(.createService(spec, registryAuth: nil)) else {
            Issue.record("accepted: \(mount)")
            return
        }
        #expect(error.code == .invalidArgument)
        #expect(error.message.contains(words))
        #expect(node.store.services.count == 0)
    }
}

@Suite struct NetworkRefusalTests {
    @Test func `an encrypted network is refused rather than made in clear text`() {
        var node = NodeHarness()
        node.start()
        var spec = NetworkSpec(name: "secret")
        spec.driverConfiguration = Driver(name: "overlay", options: ["encrypted": ""])
        guard case .failure(let error)? = node.request(.createNetwork(spec)) else {
            Issue.record("accepted")
            return
        }
        #expect(error.message.contains("cannot be encrypted"))
        #expect(node.store.networks.named("secret") == nil)
    }
}
