import Store
import SwarmCore
import SwarmModel
import Testing

@Suite struct PackedStoreTests {
    @Test func `a store's image and its writes come back from bytes as they were`() throws {
        var spec = ServiceSpec(name: "web")
        spec.labels = ["b": "2", "a": "1"]
        spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: 3))
        spec.taskTemplate.containerSpec = ContainerSpec(image: "busybox", args: ["httpd", "-f"], env: ["A=ä"])
        spec.taskTemplate.networks = [NetworkAttachmentConfig(target: "n1", aliases: ["w"])]
        spec.endpointSpec = EndpointSpec(ports: [PortConfig(targetPort: 80, publishedPort: 8080)])
        var service = Service(id: "s1", spec: spec)
        service.version.index = 7
        var task = SwarmTask(id: "t1")
        (task.serviceID, task.spec, task.slot) = ("s1", spec.taskTemplate, 2)
        (task.status.state, task.status.timestamp) = (.running, Timestamp(nanoseconds: 1_700_000_000_123_456_789))
        let config = Config(id: "c1", spec: ConfigSpec(name: "conf", data: "aGVsbG8="))
        let write = Transaction(
            actions: [.create(.service(service)), .update(.task(task)), .create(.config(config)), .remove(.node, "n9")],
            time: Timestamp(nanoseconds: 42))
        #expect(try Packed.decode(Transaction.self, from: Packed.encode(write)) == write)

        var store = ObjectStore()
        let made = [StoreAction.create(.service(service)), .create(.task(task)), .create(.config(config))]
        _ = store.apply(Transaction(actions: made, time: write.time), at: 9)
        let image = StoreImage(store)
        let back = try Packed.decode(StoreImage.self, from: Packed.encode(image))
        #expect(back == image)
        #expect(StoreImage(back.store) == image)
    }
}
