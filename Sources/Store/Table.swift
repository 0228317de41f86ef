package import HashTreeCollections
package import SwarmModel

/// All objects of one kind by identifier, with a look-up by lower-cased unique name. Copying it is a
/// snapshot.
package struct Table<Object: SwarmObject>: Sendable {
    package private(set) var objects: TreeDictionary<ObjectID, Object> = [:]
    private var idsByName: TreeDictionary<String, ObjectID> = [:]

    package init() {}

    package var count: Int { objects.count }
    package var isEmpty: Bool { objects.isEmpty }

    package subscript(id: ObjectID) -> Object? { objects[id] }

    /// The object of that unique name, compared without regard to case.
    package func named(_ name: String) -> Object? { idsByName[name.lowercased()].flatMap { objects[$0] } }

    /// All objects in the order of their identifiers, so that no hash order escapes.
    /// The identifiers are sorted, not the objects, which are large.
    package var sorted: [Object] { ids.compactMap { objects[$0] } }
    /// All identifiers in their order.
    package var ids: [ObjectID] { objects.keys.sorted() }

    /// In no order.
    package func forEach(_ body: (Object) -> Void) { for object in objects.values { body(object) } }
    package func count(where matches: (Object) -> Bool) -> Int { objects.values.count { matches($0) } }

    package mutating func put(_ object: Object) {
        if let old = objects[object.id]?.uniqueName { idsByName[old.lowercased()] = nil }
        objects[object.id] = object
        if let name = object.uniqueName { idsByName[name.lowercased()] = object.id }
    }

    @discardableResult
    package mutating func remove(_ id: ObjectID) -> Object? {
        guard let old = objects.removeValue(forKey: id) else { return nil }
        if let name = old.uniqueName { idsByName[name.lowercased()] = nil }
        return old
    }
}
