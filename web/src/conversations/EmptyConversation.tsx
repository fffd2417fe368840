import type { Agent } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { EmptyState } from '../ui/EmptyState.tsx'

const suggestions = [
  'Hello! What can you do?',
  'Make an agent that turns release notes into a short tweet.',
  '회의록을 세 줄로 요약하는 에이전트를 만들어 줘.',
]

interface Props {
  agent: Agent | undefined
  onPick: (text: string) => void
}

/** Takes the place of the messages in a new conversation, and suggests a first message. */
export function EmptyConversation({ agent, onPick }: Props) {
  if (agent) {
    return (
      <EmptyState title={`Talk to ${agent.name}`}>
        <p className="text-verbatim">{agent.description ?? 'Write the first message below.'}</p>
      </EmptyState>
    )
  }
  return (
    <EmptyState title="Say hello, or ask for an agent">
      <p>Each message runs as a job in its own sandbox. The reply stays here until you return.</p>
      <ul className="mt-6 flex flex-col gap-2" aria-label="Suggestions">
        {suggestions.map((suggestion) => (
          <li key={suggestion}>
            <Button className="w-full py-1.5 text-left" onClick={() => onPick(suggestion)}>
              {suggestion}
            </Button>
          </li>
        ))}
      </ul>
    </EmptyState>
  )
}
