import SwarmModel
import Testing

@Suite struct TaskStateTests {
    @Test func `a state is called by its case's name`() {
        for state in TaskState.allCases {
            #expect(state.name == "\(state)")
            #expect(TaskState(name: "\(state)") == state)
        }
        #expect(TaskState(name: "Running") == nil)
    }
}
