import SwarmCore
import SwarmModel
import Testing

@testable import Store

@Suite struct ObjectStoreTests {
    static func service(_ id: String, _ name: String) -> Service {
        var service = Service(id: id)
        service.spec.name = name
        return service
    }

    @Test func `what is created can be found by id and, without regard to case, by name`() {
        var store = ObjectStore()
        let transaction = Transaction(
            actions: [.create(.service(Self.service("a", "Web")))], time: Timestamp(nanoseconds: 5))
        let commit = store.apply(transaction, at: 3)
        #expect(commit.rejected.isEmpty)
        #expect(store.index == 3)
        #expect(store.services["a"]?.version.index == 3)
        #expect(store.services["a"]?.createdAt == Timestamp(nanoseconds: 5))
        #expect(store.services.named("wEB")?.id == "a")
    }

    @Test func `a second object of the same name or a stale update is refused, the rest takes effect`() {
        var store = ObjectStore()
        let time = Timestamp(nanoseconds: 1)
        _ = store.apply(Transaction(actions: [.create(.service(Self.service("a", "web")))], time: time), at: 1)
        var stale = Self.service("a", "web")
        stale.version = ObjectVersion(index: 99)
        let commit = store.apply(
            Transaction(
                actions: [
                    .create(.service(Self.service("b", "web"))), .update(.service(stale)),
                    .create(.service(Self.service("c", "other"))),
                ], time: time), at: 2)
        #expect(commit.rejected.count == 2)
        #expect(store.services.sorted.map(\.id) == ["a", "c"])
    }

    @Test func `a snapshot does not see later writes`() {
        var store = ObjectStore()
        let time = Timestamp(nanoseconds: 1)
        _ = store.apply(Transaction(actions: [.create(.service(Self.service("a", "web")))], time: time), at: 1)
        let snapshot = store
        _ = store.apply(Transaction(actions: [.remove(.service, "a")], time: time), at: 2)
        #expect(snapshot.services["a"] != nil)
        #expect(store.services["a"] == nil)
    }
}
