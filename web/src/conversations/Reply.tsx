import { DraftCard } from '../agents/DraftCard.tsx'
import type { AgentDraft, Failure } from '../api/types.ts'
import { FailureNotice } from '../executions/FailureNotice.tsx'
import { Button } from '../ui/Button.tsx'
import { TextLink } from '../ui/TextLink.tsx'

interface Props {
  text: string
  draft: AgentDraft | undefined
  failure: Failure | undefined
  executionId: string
  onSendAgain: (() => void) | undefined
}

/** What the agent said, or why it said nothing. A model wrote it: it is text, whatever it looks like. */
export function Reply({ text, draft, failure, executionId, onSendAgain }: Props) {
  return (
    <div className="flex flex-col gap-3 border-l-2 border-accent/40 pl-4">
      {text !== '' && (
        <p dir="auto" className="text-verbatim">
          <span className="sr-only">Reply: </span>
          {text}
        </p>
      )}
      {draft && <DraftCard draft={draft} />}
      {failure && (
        <FailureNotice failure={failure}>
          <Button disabled={!onSendAgain} onClick={onSendAgain}>
            Send again
          </Button>
          <TextLink to={{ page: 'execution', id: executionId }}>Details</TextLink>
        </FailureNotice>
      )}
    </div>
  )
}
