import { useEffect, useRef } from 'react'

// A reader who has scrolled up further than this, in pixels, is left where they are.
const nearEnd = 160

/** Keeps the end of a growing list in view while the reader is there. */
export function useStickToEnd() {
  const scroller = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const box = scroller.current
    if (box === null) {
      return
    }
    let atEnd = true
    const onScroll = () => {
      atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < nearEnd
    }
    const toEnd = () => {
      if (atEnd) {
        box.scrollTop = box.scrollHeight
      }
    }
    toEnd()
    const growth = new MutationObserver(toEnd)
    growth.observe(box, { childList: true, subtree: true })
    box.addEventListener('scroll', onScroll)
    return () => {
      growth.disconnect()
      box.removeEventListener('scroll', onScroll)
    }
  }, [])
  return scroller
}
