import HashTreeCollections
package import SwarmModel

/// All objects of one kind by identifier, with a look-up by lower-cased unique name. Copying it is a
/// snapshot.
package struct Table<Object: SwarmObject>: Sendable {
    /// Objects have dozens of fields that are counted references. Where a write finds a snapshot, its neighbours in the
    /// tree are copied with it: in a box each of them costs one count.
    private final class Row: Sendable {
        let object: Object

        init(_ object: Object) { self.object = object }
    }
    private var rows: TreeDictionary<ObjectID, Row> = [:]
    private var idsByName: TreeDictionary<String, ObjectID> = [:]
    /// All identifiers in their order; nil when they are sorted only when somebody asks.
    private var order: [ObjectID]?

    /// - Parameter isOrdered: keep the order of the identifiers, for kinds of which there are some thousands at most
    ///   and that are walked through far more often than one comes or goes.
    package init(isOrdered: Bool = true) { order = isOrdered ? [] : nil }

    package var count: Int { rows.count }
    package var isEmpty: Bool { rows.isEmpty }

    package subscript(id: ObjectID) -> Object? { rows[id]?.object }

    package func contains(_ id: ObjectID) -> Bool { rows[id] != nil }

    /// Calls back with the object, if there is one; unlike the subscript it copies nothing.
    package func visit(_ id: ObjectID, _ body: (Object) -> Void) { if let row = rows[id] { body(row.object) } }

    /// The object of that unique name, compared without regard to case.
    package func named(_ name: String) -> Object? { idsByName[name.lowercased()].flatMap { self[$0] } }

    /// All objects in the order of their identifiers, so that no hash order escapes.
    /// The identifiers are sorted, not the objects, which are large.
    package var sorted: [Object] { ids.compactMap { self[$0] } }
    /// All identifiers in their order.
    package var ids: [ObjectID] { order ?? rows.keys.sorted() }

    /// In no order.
    package func forEach(_ body: (Object) -> Void) { for row in rows.values { body(row.object) } }
    package func count(where matches: (Object) -> Bool) -> Int { rows.values.count { matches($0.object) } }

    package mutating func put(_ object: Object) {
        let before = rows.updateValue(Row(object), forKey: object.id)
        if before == nil { note(object.id) }
        let (old, name) = (before?.object.uniqueName, object.uniqueName)
        guard old != name else { return }
        if let old { idsByName[old.lowercased()] = nil }
        if let name { idsByName[name.lowercased()] = object.id }
    }

    @discardableResult
    package mutating func remove(_ id: ObjectID) -> Object? {
        guard let old = rows.removeValue(forKey: id)?.object else { return nil }
        if let name = old.uniqueName { idsByName[name.lowercased()] = nil }
        if let place = order.map({ Self.place(of: id, in: $0) }) { order?.remove(at: place) }
        return old
    }

    private mutating func note(_ id: ObjectID) {
        guard let place = order.map({ Self.place(of: id, in: $0) }) else { return }
        order?.insert(id, at: place)
    }

    /// Where an identifier is, or belongs.
    private static func place(of id: ObjectID, in order: [ObjectID]) -> Int {
        var (low, high) = (0, order.count)
        while low < high {
            let middle = (low + high) / 2
            if order[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
