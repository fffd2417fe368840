import { Button } from '../ui/Button.tsx'
import { useCancel } from './useCancel.ts'

interface Props {
  executionId: string
  /** The cancellation was requested, on this page or by another client. */
  requested: boolean
}

export function CancelButton({ executionId, requested }: Props) {
  const cancel = useCancel(executionId)
  const canceling = cancel.isPending || requested
  return (
    <>
      <Button look="plain" disabled={canceling} onClick={() => cancel.mutate()}>
        {canceling ? 'Canceling…' : 'Cancel'}
      </Button>
      {cancel.error && (
        <span role="alert" className="text-sm text-danger">
          {cancel.error.message}
        </span>
      )}
    </>
  )
}
