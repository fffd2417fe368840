import { DraftCard } from '../agents/DraftCard.tsx'
import type { AgentDraft, Failure } from '../api/types.ts'
import { FailureNotice } from '../executions/FailureNotice.tsx'
import { Truncated } from '../executions/Truncated.tsx'
import { Button } from '../ui/Button.tsx'
import { TextLink } from '../ui/TextLink.tsx'

/** What a message and an ended execution have in common. */
export interface Said {
  text: string
  /** The text is the beginning of a larger one. */
  truncated?: boolean | undefined
  agentDraft?: AgentDraft | undefined
  error?: Failure | undefined
}

interface Props {
  said: Said
  executionId: string
  onSendAgain: (() => void) | undefined
}

/** What the agent said, or why it said nothing. A model wrote it: it is text, whatever it looks like. */
export function Reply({ said: { text, truncated, agentDraft, error }, executionId, onSendAgain }: Props) {
  return (
    <div className="flex flex-col gap-3 border-l-2 border-accent/40 pl-4">
      {text !== '' && (
        <p dir="auto" className="text-verbatim">
          <span className="sr-only">Reply: </span>
          {text}
        </p>
      )}
      {truncated && <Truncated executionId={executionId} />}
      {agentDraft && <DraftCard draft={agentDraft} />}
      {error && (
        <FailureNotice failure={error}>
          <Button disabled={!onSendAgain} onClick={onSendAgain}>
            Send again
          </Button>
          <TextLink to={{ page: 'execution', id: executionId }}>Details</TextLink>
        </FailureNotice>
      )}
    </div>
  )
}
