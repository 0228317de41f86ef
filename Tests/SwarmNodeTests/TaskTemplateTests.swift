import Foundation
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

    @Test func `templated files know the task, its variables and its other files`() throws {
        var node = node()
        func create(_ name: String, _ text: String, template: String? = nil) throws -> ObjectID {
            let data = Data(text.utf8).base64EncodedString()
            let driver = template.map { Driver(name: $0) }
            let request = ControlRequest.createConfig(ConfigSpec(name: name, data: data, templating: driver))
            guard case .success(.created(let id, _))? = node.request(request) else { throw SwarmError(.unknown, name) }
            return id
        }
        let plain = try create("plain", "as it is: {{.Service.Name}}")
        let text = "{{.Service.Name}} {{env \"A\"}} {{config \"/plain\"}}"
        let templated = try create("templated", text, template: "golang")
        var spec = NodeHarness.spec("web")
        spec.taskTemplate.containerSpec?.env = ["A=1"]
        spec.taskTemplate.containerSpec?.configs = [
            ConfigReference(configID: plain, configName: "plain", file: ReferencedFile(name: "/plain")),
            ConfigReference(configID: templated, configName: "templated", file: ReferencedFile(name: "/made")),
        ]
        let id = try node.createService(spec)
        let container = try #require(node.running(id).first?.status.containerStatus?.containerID)
        let files = try #require(node.requests[container]).files
        #expect(files.map { String(decoding: $0.data, as: UTF8.self) } == [
            "as it is: {{.Service.Name}}", "web 1 as it is: {{.Service.Name}}",
        ])
        // What a template asks for and is not there rejects its task, in words.
        let lost = try create("lost", "{{secret \"nope\"}}", template: "golang")
        spec = NodeHarness.spec("other")
        spec.taskTemplate.containerSpec?.configs = [
            ConfigReference(configID: lost, configName: "lost", file: ReferencedFile(name: "/lost"))
        ]
        let other = try node.createService(spec)
        #expect(node.tasks(other).contains { $0.status.err?.contains("secret target nope not found") == true })
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
