import LogGathering
import Ports
import SwarmCore
import SwarmModel
import Testing

@Suite(.timeLimit(.minutes(1))) struct LogGathererTests {
    @Test func `lines of all nodes arrive, each once, and then it is over`() {
        var world = GatheringWorld()
        for task in 0..<6 { world.add("t\(task)", on: "n\(task % 3)", (0..<5).map { "\(task):\($0)" }) }
        world.look()
        world.run(for: .seconds(1))
        #expect(world.isFinished)
        #expect(world.written.sorted() == (0..<6).flatMap { task in (0..<5).map { "\(task):\($0)" } }.sorted())
        #expect(world.warnings == [])
        for task in 0..<6 {
            let own = world.lines.filter { $0.task == "t\(task)" }
            #expect(own.map { String(decoding: $0.line.text, as: UTF8.self) } == (0..<5).map { "\(task):\($0)" })
            #expect(own.allSatisfy { $0.node == "n\(task % 3)" && $0.service == "web" })
        }
    }

    @Test func `nothing at all is over at once`() {
        var world = GatheringWorld()
        world.look()
        #expect(world.isFinished)
        var task = GatheringWorld(.task("t"), follow: true)
        task.isGone = true
        task.look()
        #expect(task.isFinished)
    }

    @Test func `logs larger than an answer are asked for again from where it ended`() {
        var world = GatheringWorld()
        let long = (0..<400).map { "\($0) " + String(repeating: "x", count: 2000) }
        world.add("t", on: "n", long)
        world.add("u", on: "n", ["short"])
        world.look()
        world.run(for: .seconds(1))
        #expect(world.lines.filter { $0.task == "t" }.map { String(decoding: $0.line.text, as: UTF8.self) } == long)
        #expect(world.written.contains("short"))
        #expect(world.asked >= 400 * 2000 / LogGatherer.readBytes)
    }

    @Test func `a slow reader is asked for nothing, and loses nothing`() {
        var world = GatheringWorld(follow: true)
        world.isReaderSlow = true
        world.add("t", on: "n", (0..<500).map { "\($0) " + String(repeating: "y", count: 3000) })
        world.look()
        world.settle()
        let asked = world.asked
        world.run(for: .seconds(60))
        // One batch is with the reader and one waits for it.
        #expect(world.asked == asked)
        #expect(world.gatherer.waitingBytes <= LogGatherer.readBytes + 3000)
        while world.untaken > 0 {
            world.take()
            world.settle()
        }
        #expect(world.written.count == 500)
        #expect(world.written.first?.hasPrefix("0 ") == true && world.written.last?.hasPrefix("499 ") == true)
    }

    @Test func `tail counts for each task, and not for those that come later`() {
        var world = GatheringWorld(follow: true) { $0.tail = 2 }
        world.add("a", on: "n", ["a0", "a1", "a2"])
        world.add("b", on: "m", ["b0", "b1", "b2"])
        world.look()
        world.run(for: .seconds(1))
        #expect(world.written.sorted() == ["a1", "a2", "b1", "b2"])
        world.add("c", on: "m", ["c0", "c1", "c2"])
        world.look()
        world.run(for: .seconds(1))
        #expect(world.written.suffix(3) == ["c0", "c1", "c2"])
        world.write("a", "a3")
        world.write("a", "a4")
        world.write("a", "a5")
        world.run(for: .seconds(1))
        #expect(world.written.suffix(3) == ["a3", "a4", "a5"])
    }

    @Test func `no tail shows what comes alone`() {
        var world = GatheringWorld(follow: true) { $0.tail = 0 }
        world.add("a", on: "n", ["a0"])
        world.add("b", on: "n")
        world.look()
        world.run(for: .seconds(1))
        #expect(world.written == [])
        for number in 0..<3 { world.write("b", "b\(number)") }
        world.write("a", "a1")
        world.run(for: .seconds(1))
        #expect(world.written.sorted() == ["a1", "b0", "b1", "b2"])
    }

    @Test func `followers hear of a task on another node while others are silent`() {
        var world = GatheringWorld(follow: true)
        world.add("a", on: "n", ["a0"])
        world.look()
        world.run(for: .seconds(1))
        world.add("b", on: "m", ["b0"])
        // And of one on a node at which an ask waits already.
        world.add("c", on: "n", ["c0"])
        world.look()
        world.settle()
        #expect(world.written.sorted() == ["a0", "b0", "c0"])
        #expect(!world.isFinished)
        world.run(for: .seconds(60))
        // Idle asks grow together again: one waits at each node.
        #expect(world.pending.count == 2)
        #expect(world.written.count == 3)
    }

    @Test func `a node that does not answer costs one warning in bounded time`() {
        var world = GatheringWorld()
        world.add("a", on: "dead")
        world.add("b", on: "dead")
        world.add("c", on: "n", ["c0"])
        world.dead = ["dead"]
        world.look()
        world.run(for: .seconds(10))
        #expect(world.isFinished)
        #expect(world.written == ["c0"])
        #expect(
            world.warnings == [
                "warning: incomplete log stream: host-dead is not available (it did not answer within 3.0 "
                    + "seconds): the lines of web.1.a, web.2.b are missing"
            ])
        #expect(world.lines.last?.node == "dead")
        #expect(world.lines.last?.line.stream == .stderr)
    }

    @Test func `what is known to be down is not waited for`() {
        var world = GatheringWorld()
        world.add("a", on: "dead")
        world.places[0].isNodeDown = true
        world.dead = ["dead"]
        world.look()
        world.run(for: .milliseconds(3100))
        #expect(world.isFinished)
        #expect(world.warnings.first?.contains("host-dead is not available (it is down)") == true)
    }

    @Test func `a daemon that is started anew within the patience costs nothing`() {
        var world = GatheringWorld(follow: true)
        world.add("a", on: "n", ["a0"])
        world.look()
        world.run(for: .seconds(1))
        world.dead = ["n"]
        world.run(for: .seconds(14))
        world.dead = []
        world.write("a", "a1")
        world.run(for: .seconds(5))
        #expect(world.written == ["a0", "a1"])
        #expect(world.warnings == [])
    }

    @Test func `a follower is warned once, and goes on when the node is back`() {
        var world = GatheringWorld(follow: true)
        world.add("a", on: "n", ["a0"])
        world.add("b", on: "m", ["b0"])
        world.look()
        world.run(for: .seconds(1))
        world.dead = ["n"]
        world.run(for: .seconds(120))
        world.write("b", "b1")
        world.run(for: .seconds(1))
        #expect(world.warnings.count == 1)
        #expect(world.written.sorted() == ["a0", "b0", "b1"])
        world.dead = []
        world.write("a", "a1")
        world.run(for: .seconds(30))
        #expect(world.written.last == "a1")
        #expect(world.warnings.count == 1)
        #expect(!world.isFinished)
    }

    @Test func `a refusal is said at once`() {
        var world = GatheringWorld()
        world.add("a", on: "n")
        world.refusal = SwarmError(.permissionDenied, "no")
        world.look()
        world.run(for: .milliseconds(1))
        #expect(world.isFinished)
        #expect(world.warnings.first?.contains("(no): the lines of web.1.a are missing") == true)
    }

    @Test func `ended tasks without a container are told of together`() {
        var world = GatheringWorld()
        for task in 0..<7 { world.add("t\(task)", on: "n", isEnded: true) }
        world.absent = Set((0..<7).map { "t\($0)" })
        world.look()
        world.run(for: .seconds(1))
        #expect(world.warnings.count == 1)
        #expect(world.warnings.first?.hasSuffix(" and 2 more") == true, "\(world.warnings)")
        #expect(world.isFinished)
    }

    @Test func `following a service ends when it is gone, a task when it has ended`() {
        var world = GatheringWorld(follow: true)
        world.add("a", on: "n", ["a0"], isEnded: true)
        world.look()
        world.run(for: .seconds(60))
        #expect(!world.isFinished)
        (world.places, world.isGone) = ([], true)
        world.look()
        #expect(world.isFinished)

        var task = GatheringWorld(.task("a"), follow: true)
        task.add("a", on: "n", ["a0"])
        task.look()
        task.run(for: .seconds(60))
        #expect(!task.isFinished)
        task.write("a", "a1")
        task.ended = ["a"]
        task.run(for: .seconds(1))
        #expect(task.written == ["a0", "a1"])
        #expect(task.isFinished)
    }

    @Test func `the last lines of a removed task are waited for, and not for ever`() {
        var world = GatheringWorld(follow: true)
        world.add("a", on: "n", ["a0"])
        world.look()
        world.run(for: .seconds(1))
        (world.places, world.isGone) = ([], true)
        world.dead = ["n"]
        world.look()
        #expect(!world.isFinished)
        world.run(for: .seconds(6))
        #expect(world.isFinished)
    }

    @Test func `until ends a follower`() {
        var world = GatheringWorld(follow: true) { $0.until = Timestamp(nanoseconds: 30_000_000_000) }
        world.add("a", on: "n", ["a0"])
        world.look()
        world.run(for: .seconds(29))
        #expect(!world.isFinished)
        world.run(for: .seconds(2))
        #expect(world.isFinished)
        #expect(world.written == ["a0"])
    }

    @Test func `idle following costs little`() {
        var world = GatheringWorld(follow: true)
        for task in 0..<30 { world.add("t\(task)", on: "n\(task % 3)", ["hello"]) }
        world.look()
        world.run(for: .seconds(1))
        let asked = world.asked
        world.run(for: .seconds(100))
        #expect(world.asked - asked <= 3 * 11)
        #expect(world.looks <= 11)
    }

    @Test(arguments: 0..<200 as Range<UInt64>) func `whatever fails on the way, each line comes once and in order`(
        seed: UInt64
    ) {
        var generator = SeededGenerator(seed: seed)
        var world = GatheringWorld(follow: true)
        var counts: [ObjectID: Int] = [:]
        for step in 0..<60 {
            switch Int.random(in: 0..<8, using: &generator) {
            case 0 where world.places.count < 8:
                world.add("t\(world.places.count)", on: "n\(Int.random(in: 0..<3, using: &generator))")
                world.look()
            case 1: world.dead.insert("n\(Int.random(in: 0..<3, using: &generator))")
            case 2: world.dead = []
            case 3: world.isReaderSlow = true
            case 4:
                world.isReaderSlow = false
                while world.untaken > 0 { world.take() }
            case 5: world.run(for: .milliseconds(Int.random(in: 1..<8000, using: &generator)))
            default:
                guard let task = world.places.randomElement(using: &generator)?.task else { continue }
                for _ in 0..<Int.random(in: 1..<80, using: &generator) {
                    let number = counts[task, default: 0]
                    counts[task] = number + 1
                    world.write(task, "\(number) step \(step) " + String(repeating: "z", count: 300))
                }
            }
        }
        world.isReaderSlow = false
        world.dead = []
        while world.untaken > 0 { world.take() }
        world.run(for: .seconds(60))
        for place in world.places {
            let numbers = world.lines.filter { $0.task == place.task && $0.line.stream == .stdout }.map {
                Int(String(decoding: $0.line.text.prefix { $0 != 32 }, as: UTF8.self)) ?? -1
            }
            #expect(numbers == Array(0..<counts[place.task, default: 0]), "task \(place.task), seed \(seed)")
        }
    }
}
