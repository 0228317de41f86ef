import SwarmCLI

await SwarmCommand.main()
