import { Button } from '../ui/Button.tsx'
import { useCancel } from './useCancel.ts'

interface Props {
  executionId: string
  /** The cancellation was asked for, here or elsewhere. */
  requested: boolean
}

export function CancelButton({ executionId, requested }: Props) {
  const cancel = useCancel(executionId)
  const under = cancel.isPending || requested
  return (
    <>
      <Button look="plain" disabled={under} onClick={() => cancel.mutate()}>
        {under ? 'Cancelling…' : 'Cancel'}
      </Button>
      {cancel.error && (
        <span role="alert" className="text-sm text-danger">
          {cancel.error.message}
        </span>
      )}
    </>
  )
}
