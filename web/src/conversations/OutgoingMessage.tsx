import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { UserMessage } from './UserMessage.tsx'
import type { Outgoing } from './useOutbox.ts'

interface Props {
  entry: Outgoing
  onSendAgain: () => void
  onEdit: () => void
}

/** A message that is being sent, or that the server rejected. */
export function OutgoingMessage({ entry, onSendAgain, onEdit }: Props) {
  return (
    <UserMessage text={entry.text} files={entry.files}>
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
    </UserMessage>
  )
}
