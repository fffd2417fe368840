import { useEffect, useId, useRef, type KeyboardEvent, type SubmitEvent } from 'react'
import { Button } from '../ui/Button.tsx'
import { checkText } from './limit.ts'

interface Props {
  label: string
  action: string
  text: string
  onTextChange: (text: string) => void
  onSubmit: (text: string) => void
  /** A request is pending: the user can type, and cannot send. */
  busy: boolean
  /** Takes the focus on mount, except on touch screens, where that would open a keyboard. */
  focusOnMount?: boolean
}

export function Composer({ label, action, text, onTextChange, onSubmit, busy, focusOnMount = false }: Props) {
  const id = useId()
  const field = useRef<HTMLTextAreaElement>(null)
  const { error, note } = checkText(text)
  const ready = text.trim() !== '' && error === undefined && !busy

  useEffect(() => {
    if (focusOnMount && window.matchMedia('(pointer: fine)').matches) {
      field.current?.focus()
    }
  }, [focusOnMount])

  function submit() {
    if (ready) {
      onSubmit(text)
      onTextChange('')
    }
  }

  function onKeyDown(event: KeyboardEvent) {
    // An Enter that completes a syllable in an input method (Korean, Japanese, Chinese) does not send.
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault()
      submit()
    }
  }

  function onFormSubmit(event: SubmitEvent) {
    event.preventDefault()
    submit()
    field.current?.focus()
  }

  return (
    <form onSubmit={onFormSubmit} className="mx-auto w-full max-w-3xl">
      <div
        className={`flex items-end gap-2 rounded-xl border bg-surface p-2 ${error ? 'border-danger' : 'border-edge focus-within:border-accent'}`}
      >
        <label htmlFor={id} className="sr-only">
          {label}
        </label>
        <textarea
          id={id}
          ref={field}
          dir="auto"
          rows={1}
          value={text}
          placeholder={label}
          aria-invalid={error !== undefined}
          aria-describedby={`${id}-hint`}
          onChange={(event) => onTextChange(event.target.value)}
          onKeyDown={onKeyDown}
          className="field-sizing-content max-h-60 min-h-9 min-w-0 flex-1 resize-none bg-transparent px-2 py-1.5 outline-none placeholder:text-muted"
        />
        <Button type="submit" look="primary" disabled={!ready}>
          {action}
        </Button>
      </div>
      <p id={`${id}-hint`} className="mt-1.5 flex justify-between gap-3 px-2 text-xs text-muted">
        <span aria-live="polite" className={error ? 'font-medium text-danger' : ''}>
          {error ?? note ?? 'Up to 256 KiB'}
        </span>
        <span className="max-sm:hidden">
          <kbd className="font-mono">Enter</kbd> {action.toLowerCase()}s ·{' '}
          <kbd className="font-mono">Shift+Enter</kbd> new line
        </span>
      </p>
    </form>
  )
}
