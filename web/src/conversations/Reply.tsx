import { DraftCard } from '../agents/DraftCard.tsx'
import type { AgentDraft, Failure } from '../api/types.ts'
import { FailureNotice } from '../executions/FailureNotice.tsx'
import { TruncatedNotice } from '../executions/TruncatedNotice.tsx'
import { Button } from '../ui/Button.tsx'
import { TextLink } from '../ui/TextLink.tsx'

/** The fields that a stored reply and a finished execution share. */
export interface ReplyContent {
  text: string
  /** The text is the first part of a larger one. */
  truncated?: boolean | undefined
  agentDraft?: AgentDraft | undefined
  error?: Failure | undefined
}

interface Props {
  content: ReplyContent
  executionId: string
  onSendAgain: (() => void) | undefined
}

/** The agent's reply, or the reason why there is none. A model wrote it, so the page shows it as plain text. */
export function Reply({ content, executionId, onSendAgain }: Props) {
  const { text, truncated, agentDraft, error } = content
  return (
    <div className="flex flex-col gap-3 border-l-2 border-accent/40 pl-4">
      {text !== '' && (
        <p dir="auto" className="text-verbatim">
          <span className="sr-only">Reply: </span>
          {text}
        </p>
      )}
      {truncated && <TruncatedNotice executionId={executionId} />}
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
