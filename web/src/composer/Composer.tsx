import { useEffect, useId, useRef, type KeyboardEvent, type SubmitEvent } from 'react'
import { Button } from '../ui/Button.tsx'
import { measure } from './limit.ts'

interface Props {
  label: string
  action: string
  text: string
  onTextChange: (text: string) => void
  onSubmit: (text: string) => void
  /** Something is being sent: typing goes on, sending waits. */
  busy: boolean
  /** Take the focus when it appears, except where that would open a keyboard on the screen. */
  focusFirst?: boolean
}

export function Composer({ label, action, text, onTextChange, onSubmit, busy, focusFirst = false }: Props) {
  const id = useId()
  const field = useRef<HTMLTextAreaElement>(null)
  const { fault, note } = measure(text)
  const ready = text.trim() !== '' && fault === undefined && !busy

  useEffect(() => {
    if (focusFirst && window.matchMedia('(pointer: fine)').matches) {
      field.current?.focus()
    }
  }, [focusFirst])

  function submit() {
    if (ready) {
      onSubmit(text)
      onTextChange('')
    }
  }

  function onKeyDown(event: KeyboardEvent) {
    // Enter that ends the composition of a syllable (Korean, Japanese, Chinese) sends nothing.
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
        className={`flex items-end gap-2 rounded-xl border bg-surface p-2 ${fault ? 'border-danger' : 'border-edge focus-within:border-accent'}`}
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
          aria-invalid={fault !== undefined}
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
        <span aria-live="polite" className={fault ? 'font-medium text-danger' : ''}>
          {fault ?? note ?? 'Up to 256 KiB'}
        </span>
        <span className="max-sm:hidden">
          <kbd className="font-mono">Enter</kbd> {action.toLowerCase()}s ·{' '}
          <kbd className="font-mono">Shift+Enter</kbd> new line
        </span>
      </p>
    </form>
  )
}
