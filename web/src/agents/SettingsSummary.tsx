import type { Agent } from '../api/types.ts'
import { Fact } from '../ui/Fact.tsx'
import { filesOf } from './SkillsField.tsx'

/** The settings of an agent that are set. */
export function SettingsSummary({ agent }: { agent: Agent }) {
  const { schema, maxTurns, effort, env, tools, mcpServers, skills } = agent
  if (agent.hasSettings !== true) {
    return null
  }
  return (
    <dl aria-label="Settings" className="border-t border-line text-sm">
      {maxTurns !== undefined && <Fact name="Maximum turns">{maxTurns}</Fact>}
      {effort && <Fact name="Effort">{effort}</Fact>}
      {env && <Fact name="Variables">{Object.keys(env).join(', ')}</Fact>}
      {tools?.allowed && <Fact name="Allowed tools">{tools.allowed.join(', ')}</Fact>}
      {tools?.denied && <Fact name="Denied tools">{tools.denied.join(', ')}</Fact>}
      {mcpServers && <Fact name="MCP servers">{mcpServers.map(({ name }) => name).join(', ')}</Fact>}
      {skills && (
        <Fact name="Skills">{skills.map((skill) => `${skill.name} (${filesOf(skill)})`).join(', ')}</Fact>
      )}
      {schema && (
        <Fact name="Schema of the answer">
          <code className="font-mono text-xs break-all">{JSON.stringify(schema)}</code>
        </Fact>
      )}
    </dl>
  )
}
