import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { Bubble } from './Bubble.tsx'
import type { Outgoing } from './useOutbox.ts'

interface Props {
  entry: Outgoing
  onSendAgain: () => void
  onEdit: () => void
}

/** A message that the server has not accepted yet, or did not accept. */
export function OutgoingMessage({ entry, onSendAgain, onEdit }: Props) {
  return (
    <Bubble text={entry.text}>
      {entry.error ? (
        <ProblemNotice error={entry.error}>
          <Button onClick={onSendAgain}>Send again</Button>
          <Button look="plain" onClick={onEdit}>
            Edit
          </Button>
        </ProblemNotice>
      ) : (
        <p className="text-sm text-muted">Sending…</p>
      )}
    </Bubble>
  )
}
