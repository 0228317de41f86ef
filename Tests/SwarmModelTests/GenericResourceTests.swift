import SwarmCore
import Testing

@testable import SwarmModel

@Suite struct GenericResourceTests {
    @Test func `a number is a count, words are names`() throws {
        let resources = try GenericResource.parse(["ssd=4", "gpu=UUID1", " gpu = UUID2"])
        #expect(
            resources == [
                .init(discrete: .init(kind: "ssd", value: 4)), .init(named: .init(kind: "gpu", value: "UUID1")),
                .init(named: .init(kind: "gpu", value: "UUID2")),
            ])
        #expect(Resources(genericResources: resources).genericCounts == ["ssd": 4, "gpu": 2])
    }

    @Test(arguments: [
        (["gpu"], "incorrect term gpu, missing '='"), (["gpu=a=b"], "incorrect term gpu=a=b"),
        (["=1"], "incorrect term =1"), (["gpu="], "incorrect term gpu="),
        (["gpu=-1"], "cannot ask for negative resource gpu"), (["gpu=1", "gpu=2"], "malformed expression 'gpu=[1 2]'"),
        (["gpu=a", "gpu=2"], "malformed expression 'gpu=[a 2]'"), (["gpu=a", "gpu=a"], "the same name twice"),
    ])
    func `what cannot be offered is refused in words`(_ terms: [String], _ words: String) {
        let error = #expect(throws: SwarmError.self) { try GenericResource.parse(terms) }
        #expect(error?.message.hasPrefix("could not parse GenericResource: ") == true)
        #expect(error?.message.contains(words) == true)
    }

    @Test func `what is held is here only under the name it was given by`() throws {
        let offer = Resources(genericResources: try GenericResource.parse(["gpu=A", "gpu=B", "ssd=2"]))
        var pool = GenericPool(offer)
        #expect(pool.claim(["ssd": 1, "gpu": 1, "none": 0])?.count == 2)
        #expect(pool.holds([.init(named: .init(kind: "gpu", value: "A"))]) == false)
        #expect(pool.holds([.init(named: .init(kind: "gpu", value: "B")), .init(discrete: .init(kind: "ssd", value: 1))]))
        // A kind that is named now gives nothing to what counted it.
        #expect(pool.holds([.init(discrete: .init(kind: "gpu", value: 1))]) == false)
        #expect(pool.holds(["ssd": 2]) == false)
    }
}
