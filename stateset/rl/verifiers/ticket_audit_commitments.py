"""What is right to say where no money moves: seven resolutions, in the notation of `ticket_audit_phrases`."""

from __future__ import annotations

REPLACEMENT = """
new.a: a | another | one | the | your | our | this
new.adj: new | brand new | brand-new | fresh | replacement | correct | right | proper | free | identical |
    flawless | working | intact | second | perfect | undamaged | whole | sound
new: (a | another | one | the | your | our) <new.adj> <new.adj>* (ITEM | item | one | unit | product |
    article | device | piece) [as [a | the | your] replacement] | another (ITEM | one | item) | <new.adj>
    <new.adj>* ITEM | [a | the | your | our] [free | full | prompt] replacement [ITEM | item] [for (<thing>
    | <order> | the wrong (article | item | one))] | a free exchange | the (correct | right) (product | item
    | article | ITEM) your ITEM | the same (ITEM | item | product) again
own: the (ITEM | item | product | one) [that] you [really | actually | originally] (ordered | chose | wanted
    | bought | paid for | picked) [in ORDER] | what you [really | actually | originally] (ordered | chose |
    bought | paid for) [the ITEM] | your own ITEM | the same (ITEM | item | product)
own.do: [<adv>] ((are | am) [<adv>] (sending | shipping | dispatching) | [will [<adv>]] (send | ship |
    dispatch) | have (now | just) (sent | shipped | dispatched)) [out]
s.mod: <about> | <hand> | <cost> | <soon> | as [a | the | your] [free] replacement | [for | to replace] (the
    (broken | first | damaged | lost | wrong | faulty | old | one in ORDER | missing) [one | ITEM | item |
    article | parcel]) | to replace (it | the one <ofme> | the one in ORDER | <thing>) | as ordered | under
    <order> | out | with (care | extra care [this time]) | packed with extra care [this time] | carefully
    packed | well packed | on its way [to you] | and (booked | handed to our warehouse | packed | sent |
    dispatched) | today | from our warehouse | this time | by (express | post | mail | courier) | for
    dispatch | a new ITEM | and pack it (carefully | well) | in perfect (condition | order) | replacing (it
    | the wrong article | the wrong item | <thing>) | in exchange
way: (is | are | will be) [<adv>] (on (its | the) way | coming | leaving [us | our warehouse] | going out
    [to you] | in the post | underway | under way | headed your way | being (prepared | packed | shipped |
    sent)) | goes [out] | ships | leaves [us | our warehouse] | will [<adv>] (leave [us | our warehouse] |
    go out | ship | follow | come | be on its way) | comes | follows | went out | has left [us | our
    warehouse] | has gone out | is [already] [<soon>] waiting to ship | heads your way
commit: <agent> <own.do> [you] <own> <s.mod>* | <own> [<s.mod>] (<way> | [<adv>] (is | will be) [<adv>]
    [being] (sent | shipped | dispatched | packed)) <s.mod>* | <you.get> <own> <s.mod>* | i can only
    (replace it | send you <new>) | you can (expect | look forward to) <new> <s.mod>* | <agent> (have | are
    having | am having | will have | am getting | are getting) [<adv>] <new> (on its way | sent [out] |
    shipped [out] | packed | in the post | ready for dispatch | delivered) [to you] <s.mod>* | <new>
    [<s.mod>] (is | will be) [<adv>] (yours | with you soon | booked | ordered for you) <s.mod>* | <new> is
    being (readied | boxed up | prepared | made ready) [for you] <s.mod>* | <team> (is | are) <send.ing>
    [you] <new> <s.mod>* | <new> <s.mod>* (booked | dispatched | arranged | created) <s.mod>* | <agent>
    (make | have made | made) it right with <new> | <agent> <send.do> [you | for you | in | up] <new>
    <s.mod>* [for you | to be (sent | shipped) [to you] <s.mod>*] | <team> <send.does> [you] <new> <s.mod>*
    | <agent> have [<adv>] (arranged | organised | organized) for <new> to be (sent | shipped | dispatched)
    [out] [to you] <s.mod>* | <new> [<s.mod>] [<s.mod>] (<way> | <send.done> | <replace.done>) <s.mod>* |
    <you.get> <new> <s.mod>* | <agent> <replace.do> <thing> [<ofme>] [with | by | for] [<new>] <s.mod>* |
    <thing> [<ofme>] <replace.done> [with | by | for] [<new>] <s.mod>* | [just] (<send.pp> | <send.ing>)
    [you] <new> <s.mod>* | <new> (<send.pp> | on its way | coming [your way]) <s.mod>* | <agent> have put in
    <new> <s.mod>* | your replacement has been (created | booked) <s.mod>* | <new> will replace (<thing> |
    the wrong (article | item) [in ORDER]) <s.mod>* | here (comes | is) your replacement | <about> <you.get>
    <new> <s.mod>* | <agent> <send.do> to you <new> <s.mod>* | [now] on its way [to you] <s.mod>* is <new>
next: (it | this | its) [is | will be] [<adv>] (being packed now | on its way | being packed | packed | in
    the post | coming | shipped | sent) [now] [to you] <s.mod>* | packed with extra care [this time] |
    carefully packed | (it | the replacement) (goes out | ships | leaves) [our warehouse] <s.mod>* | no need
    to (send | return) (anything | it | the (broken | damaged) (one | ITEM)) [back] | you (may | can) keep
    the (broken | damaged) (one | ITEM) | it will be (carefully packed | packed [with extra] care) |
    <labels> | <s.mod> | and your new ITEM [is on its way] | a new ITEM carefully packed | it was booked |
    nothing to (send back | return) | (the | your) (new one | new ITEM) (is | will be) [<adv>] (on its way |
    packed | being packed) [to you] | we (pack | packed) it (carefully | well | with extra care) | keep an
    eye on the door
woeful: (the carrier | the courier) (could not find | has lost | lost | has declared | confirmed | could not
    locate) <parcel> [lost]
"""

TRACE = """
carrier: (the | our) (carrier | courier | delivery company | delivery service | parcel service | shipping
    company)
tr.np: [a | an | the | your | another] [carrier | courier | parcel | formal | official | full | urgent]*
    (trace | search | investigation | inquiry | enquiry | trace request | search request | trace
    investigation request | tracing request)
tr.mod: (with | at | by | from | through) <carrier> | <about> | <soon> | for <parcel> | (to | that) (find |
    locate | trace) <parcel> | to (find out | learn | establish) <tr.where> | into <tr.where> | [starting]
    (from | with) (its | the) last scan | for us | to track down your parcel | for you | <parcel> | search
    under way | [is] (running | under way | open) | on <parcel> | to find <parcel> for you | to track
    <parcel> down | across (its | their) depots | at (its | their) depots | with <parcel> | to get to the
    bottom of (it | this) | again
tr.where: where (<parcel> | <order>) (is | has (got to | ended up | gone) | went | got to | was (lost |
    stuck) | got lost | got stuck | is now | disappeared)
tr.do: (trace | track [down] | locate | find | investigate | search for | look for | hunt for | hunt down |
    look into | start searching for | start looking for | start tracing | start a search for) (<parcel> |
    <tr.where>) | track <parcel> down | (search | investigate) | (search its depots | search its depots
    again) [for <parcel>] | (open | start | begin | run) <tr.np> | investigate <tr.where> | go looking for
    <parcel>
tr.ing: (tracing | tracking [down] | locating | investigating | searching for | looking for | hunting [down
    | for] | looking into) (<parcel> | <tr.where>) | searching [its depots] [for <parcel>] | tracking
    <parcel> down
commit: <agent> <ask.do> <carrier> (<tr.where> | to say <tr.where> | about <parcel>) and (opened | started |
    have opened | have started | began | requested) <tr.np> <tr.mod>* | (the | our | a) search for <parcel>
    (has (begun | started) | is (under way | on | running)) <tr.mod>* | <agent> have <carrier> (looking for
    | searching for | tracing) <parcel> <tr.mod>* | <agent> <ask.do> <carrier> for <tr.np> <tr.mod>* |
    <agent> <ask.do> <carrier> to find out <tr.where> <tr.mod>* | <tr.np> <tr.mod2>* (has | have) [<adv>]
    (begun | started) <tr.mod>* | <agent> (have [<adv>] put | put) <tr.np> on <parcel> <tr.mod>* | <agent>
    <ask.do> <carrier> to <tr.do> and (opened | started) <tr.np> <tr.mod>* | (i | we) <open.do> [up] <tr.np>
    <tr.mod>* [and will (update you | keep you (posted | updated | informed) | let you know)] | (i | we)
    <ask.do> <carrier> to <tr.do> <tr.mod>* | (i | we) (will | have | had) [<adv>]
    (have | had | got) <carrier> [to] <tr.do> <tr.mod>* | got <carrier> to <tr.do> <tr.mod>* | <carrier>
    (has been | was | is being | is | will be) [<adv>] (asked | told | instructed | urged) to <tr.do>
    <tr.mod>* | <carrier> (is | are) [<adv>] <tr.ing> <tr.mod>* | <carrier> [<adv>] (searches | looks |
    hunts) [its depots] for <parcel> <tr.mod>* | <carrier> [<adv>] (traces | tracks down | investigates)
    (<parcel> | <tr.where>) <tr.mod>* | <carrier> will [<adv>] (search | look for <parcel> | search for
    <parcel> | trace <parcel> | track <parcel> | investigate [<tr.where>] | search its depots [again] [for
    <parcel>] | start <tr.ing> | hunt for <parcel>) <tr.mod>* | <carrier> (has | have) [<adv>] (started |
    opened | begun | launched) [<tr.np> | to search | searching | tracing] <tr.mod>* | <carrier> received
    <tr.np> <tr.mod>* [and will look for <parcel>] | <tr.np> <tr.mod2>* (is | are) [<adv>] (running | under
    way | open | on | in progress | being (run | opened | started)) <tr.mod>* | <tr.np> <tr.mod2>*
    <open.done> <tr.mod>* | [just] (started | opened | filed | requested | launched | began | begun) <tr.np>
    <tr.mod>* | <tr.np> (filed | opened | started | requested | launched) <tr.mod>* | [<parcel> lost] trace
    opened <tr.mod>* | (i | we) [<adv>] (am | are) [<adv>] <tr.ing> [with <carrier>] <tr.mod>* | (i | we)
    (will trace | trace) <parcel> <tr.mod>* | our warehouse is <tr.ing> <tr.mod>* | <you.get> <tr.np>
    <tr.mod>* | so that <carrier> looks for <parcel> | <agent> have [<adv>] contacted <carrier> and (started
    | opened | requested) <tr.np> <tr.mod>*
tr.mod2: <about> | for <parcel> | with <carrier> | into <tr.where>
next: <tr.mod> | i will (write | email | update | tell) you (when | once | as soon as) (they | the carrier)
    (find it | answers | answer | reports back | know more) | we will (keep you (posted | updated |
    informed) | let you know (what (they | it) (find | finds | say | says) | the (outcome | result)) |
    update you) | i will keep you (posted | updated | informed) | (i | we) (cannot | can not | may not)
    promise (a | any | you a) [delivery] (date | day) | [no] search under way | <carrier> looks for <parcel>
    | it looks for <parcel> | the search is under way | they will look for <parcel> | and began a trace
woeful: <parcel> is [indeed] (late | overdue | past its expected day) | yes <parcel> should have reached you
    already | <parcel> lost
"""

RETURN_LABEL = """
lab.mod: <about> | <hand> | <soon> | <cost> | attached [to this (message | email)] | (to | so that you can |
    with which you can) (return | send [back] | post [back] | ship [back]) (<thing> | <parcel>) [back] [to
    us] | (so | with which) <thing> [<order>] can come back | for (returning | sending back) (<thing> |
    <order>) | and ready | to (return | send back) it | to you by email | so that you can post <thing> back
    | at our cost | instead
commit: <agent> <email.do> [you | for you] <label> <lab.mod>* | <label> <lab.mod>* <email.done> [<lab.mod>]*
    | <label> [<lab.mod>] (is | will be) [<adv>] (on its way [<hand>] | attached | enclosed | in your inbox
    | ready [in your account] | coming | here | waiting in your (inbox | account)) <lab.mod>* | <you.get>
    <label> <lab.mod>* | you [will] [can] find <label> <lab.mod>* [attached] | [here is | here you have |
    below is | attached is | enclosed is | attached you find | attached you will find] <label> <lab.mod>* |
    <label> [<lab.mod>] [is] (attached | sent | created [and sent] | made | emailed | on its way | enclosed)
    <lab.mod>* | [please | just | simply | now] [refuse <parcel> or] use <label> [i [have] (attached |
    emailed [you] | sent [you])] <lab.mod>* | [please | just | simply] (<backwith> | send <thing> back with
    <label> | return <order> with <label> [i [have] (emailed | sent | attached) [you]]) | to return <thing>
    [please] print <label> [that] [i have (emailed | sent | attached) [you]] | here is <label> <lab.mod>* |
    [please] return <order> with <label> i [have] emailed | (i | we) am attaching <label> <lab.mod>* | you
    can (return | send back) (it | <thing>) (with | using) <label> [i have (emailed | sent | attached)
    [you]]
next: <lab.mod> | [simply | just | please] print it [and (send | post | drop off) (the parcel | it)] |
    [just] stick it on the (box | parcel) | [and] [you] drop (off the parcel | the parcel off | it off) |
    (<agent> | and <agent>) (refund | will refund | then refund) (<thing> | <order> | you | AMOUNT) [AMOUNT]
    [in full] (once (back | it is back | <thing> is back | it arrives | it has arrived | we have it back) |
    then | when it (arrives | is back | comes back) | as soon as it (arrives | is back | reaches us) [with
    us] | after that | upon arrival) | (the | your | a) [full] refund follows [then | once it (is back |
    arrives)] | it is (prepaid | free) [for you] | [please] refuse the parcel | the postage is (paid | on
    us) | you (pay | owe) nothing for (the return | it) | then <agent> (refund | will refund) (it | you |
    AMOUNT)
fact: (<order> | <parcel> | <thing> | it) (left | shipped | went out) [us | our warehouse | our (warehouse |
    shelves)] [already | yesterday | this morning | earlier | before your message] | (<order> | <parcel> |
    <thing> | it) (has | is | was | had) [already | now | been | since]* (shipped | dispatched | left [us |
    our warehouse] | on its way [to you] | gone out | sent [out] | travelling [to you] | underway | under
    way | in the post | gone | on the road) [already] | already shipped | no cancellation possible |
    [already] on its way [already] | once shipped an order cannot be cancelled | as <order> has left us | it
    has already left | shipped orders cannot be cancelled
"""

CANCEL = """
c.mod: <about> | <soon> | for you | [just] as you (wish | wished | asked | wanted | requested) | in time |
    before (it | <thing>) (could ship | shipped | was (shipped | dispatched | sent) | left [us | our
    warehouse] | went out) | at the warehouse | in full | completely | at your (wish | request)
c.np: <order> [for <thing>] | <thing> | your order for <thing> | your purchase | the shipment | <order>
    <order>
commit: <c.np> <cancel.done> <c.mod>* and will not (be (shipped | sent | dispatched) | ship) | (i | we) [have]
    [<adv>] stopped <c.np> in time | <agent> (have [<adv>] taken | took) <c.np> out of
    (shipping | the queue | our system) <c.mod>* | <order> (is | has been) [<adv>] (closed and cancelled |
    called off | off) <c.mod>* | <agent> <cancel.do> <c.np> <c.mod>* | <c.np> <cancel.done> <c.mod>* |
    <c.np> (is | has been | was) [<adv>] (called off | off | taken back from shipping | taken off the
    packing list) <c.mod>* | (the | your) cancellation [<about>] (is (complete | done | confirmed | final |
    through | in place) | went through | has gone through | has been (confirmed | completed | processed |
    made | done) | came in time | was (successful | completed)) <c.mod>* | [just | now] cancelled <order>
    <c.mod>* | cancellation confirmed <c.mod>* | you (can | may) consider <order> cancelled <c.mod>* | [not
    yet shipped] cancelled <c.mod>* | (i | we) [have] called <c.np> off <c.mod>* | <agent> [have] [<adv>]
    (called off | taken back) <c.np> <c.mod>* | <agent> have [<adv>] stopped <thing> at the warehouse and
    cancelled <order> <c.mod>* | <agent> (caught | got) <thing> before it left so <order> will be cancelled
    as you wish | <agent> <issue.do> the cancellation <c.mod>* | <order> cancelled <c.mod>* | <order> [never
    left our shelves and] stands cancelled | <agent> have stopped <c.np> and cancelled it <c.mod>* | (i |
    we) (managed to | was able to | were able to) (cancel | stop) <c.np> <c.mod>*
next: (the | your) AMOUNT (will be | is | has been) [<adv>] (refunded | on its way back | being refunded |
    returned | paid back) [<card>] | nothing (goes | will go) out [to you] | you will not (receive | get)
    the ITEM | <c.mod> | (nothing | no ITEM) (will be | is [being] | gets) (shipped | sent | dispatched |
    delivered) [to you | out] | ([so] (<named> | <order>) | so it) (will not | is not going to | does not)
    [be] (shipped | sent | dispatched | ship | leave us | leave our warehouse | reach you | leave) | [so]
    <thing> (stays | remains) (with us | [here] in our warehouse | here | in the warehouse | on our shelves)
    | [i] closed it just now | AMOUNT (is | goes | will be) [<adv>] (being refunded | refunded | on its way
    back | back | returned) [<card>] | [your | a] [full] refund [of AMOUNT] (is on its way | follows | has
    been issued | is being processed | will follow) [<card>] | (<agent> | and <agent>) (refund | have
    refunded | will refund | are refunding) (AMOUNT | <money> | you [AMOUNT] | it) [<card>] [in full] | you
    will not be charged | no ITEM (will be | is) (dispatched | shipped | sent) | <money> (is | are) [<adv>]
    (being refunded | refunded | on its way back | returned) [<card>] | (so it | and) will not (be sent |
    reach you | ship) | nothing will be shipped | you get AMOUNT back [<card>] | your card has been refunded
    | the ITEM will not leave us | there is nothing to pay | <you.get> [a] [full] refund [of AMOUNT]
    [<card>]
fact: (<order> | <parcel> | <thing> | it) (has | had | was | is) [still] not [yet] [been] (shipped | left
    [us | our warehouse] | dispatched | sent [out] | gone out) [yet] | (<order> | <thing>) (had | has) not
    left us | (<thing> | <order> | it) (is | was) still (here | in the warehouse | with us | in our
    warehouse | on our shelves) | not yet shipped | still here | <order> never left (our shelves | us | our
    warehouse) | taken off the packing list | <order> <cancel.pp> in time
"""

REPAIR = """
shop: (our | the) [own] (workshop | technicians | repair team | repair shop | service team | specialists |
    workshop team) | a (technician | specialist) [in our workshop | of ours] | our technician
w: (under | covered by | within | on) [the | our | your] warranty [of ORDER] [of FIGURE] | as the warranty
    provides | with <order> as your warranty proof
rp.mod: <about> | <w> | <cost> | <soon> | (in | at | by | with) <shop> | for you | by (one of our | our)
    (technicians | experts) | as [a] warranty (repair | case) | thanks to your warranty | which is (free |
    covered) | free under the warranty | again
rp.np: [a | the | your | this] [free | warranty | workshop | full | prompt]* (repair | repair job | warranty
    repair | repair ticket | repair order | workshop repair) [of <thing>] [for <thing>]
rp.do: <adv>* (<repair.base> | will <adv>* (<repair.base> | be <repair.ing>) | (am | are) <adv>*
    (<repair.ing> | going to <adv>* <repair.base> | (happy | glad) to <repair.base>))
rp.does: <adv>* ((repairs | fixes | mends) | <repair.base> | will <adv>* (<repair.base> | be <repair.ing>) |
    (is | are) <adv>* (<repair.ing> | going to <repair.base>))
rp.done: (is | are | will be | is being | gets | will get | is going to be | is <adv> being | will <adv> be)
    <adv>* <repair.pp>
commit: <thing> (is going | goes | will go) to <shop> [for <rp.np>] <rp.mod>* | <shop> (takes | will take)
    care of <rp.np> <rp.mod>* | <agent> (get | will get | have) <thing> (working | running | going) again
    <rp.mod>* | <you.get> a free repair <rp.mod>* | [please] (send | mail | post) (us <thing> | <thing> to
    us) [with <label> | using <label>] (so | and) (<shop> | <agent>) [can | will] (repair | fix | mend) it
    <rp.mod>* | <shop> (is | are) [<adv>] (repairing | fixing | mending) <thing> <rp.mod>* | <agent> will
    have <thing> (repaired | fixed | mended) <rp.mod>* | <agent> <rp.do> <thing> [<ofme>] <rp.mod>* |
    <agent> <open.do> <rp.np> <rp.mod>* | <agent> <issue.do> <rp.np> <rp.mod>* | <shop> <rp.does> <thing>
    <rp.mod>* | <shop> will (get | have) <thing> (working | going | running) [again] <rp.mod>* | <shop>
    (gets | get) <thing> (working | going | running) again <rp.mod>* | <thing> <rp.mod>* <rp.done> <rp.mod>*
    | <rp.np> <rp.mod>* <issue.done> [<rp.mod>] | <rp.np> [<rp.mod>] (is | has been | was) [<adv>] (booked |
    registered | arranged | on its way | scheduled | opened) <rp.mod>* | <rp.np> <rp.mod>* (registered |
    booked | arranged | opened) <rp.mod>* | <you.get> <rp.np> <rp.mod>* | <you.get> <thing> (repaired |
    fixed | mended) <rp.mod>* | <agent> have [<adv>] (arranged | organised) for <thing> to be (repaired |
    fixed | mended) <rp.mod>* | [the | our] warranty (gives you | covers) <rp.np> <rp.mod>* | <agent> have
    <thing> (repaired | fixed) <rp.mod>* | <shop> (is | are) going to (repair | fix | mend) <thing>
    <rp.mod>* | so <shop> can (fix | repair | mend) <thing> | [please] send us <thing> and <shop> [will]
    (repair | fix | repairs) (it | <thing>) <rp.mod>* | <about> a workshop repair of <thing> is [now]
    registered | <agent> <issue.do> <thing> in for <rp.np> <rp.mod>* | <agent> <send.do> <thing> to <shop>
    for <rp.np> <rp.mod>* | as <order> is under warranty <shop> repairs <thing>
next: <rp.mod> | <labels> | which (i | we) have [<adv>] (booked | arranged) [for you] | (it | this) (is |
    will be) [<adv>] (free [of charge] | covered by (the | our) warranty | booked) | [please] send (us
    <thing> | <thing> to (us | our workshop)) | (i | we) have [<adv>] booked it | so <shop> can (fix |
    repair) <thing> | repair is booked <rp.mod>* | covered by the warranty | <thing> will work again
fact: (<thing> | it | <order> | this | your warranty) (is | is [indeed] [<adv>]) [still] (under warranty |
    within the warranty | covered [by (the | our | your) warranty] | in force | valid) [of FIGURE] | [our |
    the] warranty (runs for | lasts) FIGURE | under warranty
"""

NEW_CODE = """
code: [a | an | the | your | another] [brand new | new | fresh | working | replacement | second]* (gift card
    code | card code | code) [for (<card.np> | <order>)] | another | a new one | another one
code.new: (a | the | your | another) [brand new | new | fresh | working | replacement | second | newly made]
    [new | working | brand new] (ITEM code | code | card code) [for (<card.np> | <order>)] | (new | fresh |
    brand new) (ITEM code | code) [for <card.np>]
card.np: [the | your | a | this] [broken | faulty | failed | old] (ITEM | card | gift card) [<ofme>] | it
code.old: the code [for the ITEM] [<ofme>] | <code.was>
code.was: [the | your] (old | broken | failed | rejected | faulty | first | invalid | original) (ITEM code |
    code | card code | one | ITEM) [<ofme>] | the code (that | which) (failed | did not work | was rejected)
cd.mod: <about> | <hand> | <soon> | <cost> | (that | which) (works [at SHOP] | makes the ITEM work | you can
    use [right away | now]) | to use instead of (the old one | <code.old>) | to (replace | stand in for)
    (<code.old> | the one <ofme> | it) | instead of <code.old> | for <card.np> | sent to the address on
    <order> | issued by email | valid [for] FIGURE | with the full (value | amount | balance) | and is valid
    for FIGURE | on <order>
commit: <agent> have generated <code.new> and sent it <hand> | [please] (use | take | enter) (this | the)
    (new | fresh) (ITEM code | code) [instead] <cd.mod>* [it is (in your (inbox | email) | attached)] |
    <code.new> (waits | is waiting) in your (inbox | email) <cd.mod>* | <agent> (swapped | have swapped |
    exchange | have exchanged) <code.old> for <code.new> <cd.mod>* | here (is | comes) <code.new> <cd.mod>*
    | you can find <code.new> <cd.mod>* | <agent> (generated | have [<adv>] generated | have [<adv>] made
    you | have [<adv>] got you) <code.new> <cd.mod>* | <agent> <email.do> [you | for you] <code.new>
    <cd.mod>* | <agent> <give.do> [you] <code.new> <cd.mod>* | <you.get> <code.new> <cd.mod>* | <code.new>
    <cd.mod>* <email.done> <cd.mod>* | <code.new> <cd.mod>* (is | will be) [<adv>] (in your (inbox | email)
    | on its way | yours | attached | ready | in your hands | coming) [now] <cd.mod>* | <code.new> (issued |
    sent | created | emailed) <cd.mod>* | <agent> <replace.do> (<code.old> | <card.np>) (with | by | for)
    (<code.new> | a new one) <cd.mod>* | (<code.old> | <card.np>) [<cd.mod>] (has been | was | is | will be)
    [<adv>] [cancelled and | blocked and] (replaced | swapped) (with | by | for) (<code.new> | a new one)
    <cd.mod>* | <agent> have [<adv>] blocked <code.was> and (sent | emailed) you (another | a new one |
    <code.new>) <cd.mod>* | <card.np> has been given <code.new> <cd.mod>* | with this message comes
    <code.new> <cd.mod>* | <card.np> works with <code.new> <cd.mod>* | made you <code.new> <cd.mod>* | here
    is <code.new> | <agent> <email.do> you <code.new> <cd.mod>* | <card.np> (gets | will get | receives)
    <code.new> <cd.mod>* | with this message comes a new code for the card bought under <order>
next: <cd.mod> | <code.was> (is | has been | was) [<adv>] (blocked | cancelled | switched off | withdrawn |
    void | disabled | deactivated) [and] | <code.was> blocked | which (i | we) have [<adv>] emailed | the
    code (is | stays) valid for FIGURE | the old one (no longer works | is (blocked | cancelled | switched
    off | void)) | and sent it to your email | it (works [now | right away] | is valid for FIGURE | will
    work) | the value stays the same | the balance is unchanged | please use (it | this one | the new code)
    [instead] | i have just emailed | (i | we) have [<adv>] blocked <code.was>
fact: <code.was> <gone> | the checkout refused your ITEM
"""

ESCALATE = """
who: (our | the | a | an | my) [senior | product | own | customer | member of our | specialist from our |
    specialist of our]* <who.head> [from our <who.head>] | my (manager | supervisor) | our (manager |
    supervisor) | one of our (specialists | managers | supervisors | safety specialists) | a (specialist |
    manager | supervisor | member) (from | of | in) our <who.head> | (someone | somebody) (from | in | on)
    our <who.head> | a supervisor | a member of our <who.head> | a (senior | safety) (specialist | manager)
    | our customer safety manager | one of ours
who.head: customer safety team | safety team | claims team | care team | incident team | legal team |
    product safety team | safety desk | safety department | claims manager | safety manager | safety
    managers | claims desk | specialist | manager | specialists | managers | supervisor | incident managers
    | care managers | claims specialists | safety specialists | safety specialist | senior specialist |
    customer safety manager | specialist team | legal safety team | harm response team | care directors |
    claims department
case: [your | the | this | that] (case | message | report | matter | concern | incident | complaint |
    details | letter | file | accident | account) [<ofme>] [about <order>] [on <order>] | it | this |
    everything [on <order>] | what you wrote [about <order>] | [the case of] <order> | (all | the) details [of
    <order>] | this over | everything
es.mod: <about> | <soon> | on <order> | about <order> | (with | together with) (all | the) (details | notes
    | your notes) [of <order>] | all notes attached | personally | with your [full] message | in person |
    with (high | top) priority | over | at SHOP | directly | in full | with care
es.then: (who | they | he | she | and | it) [will | is going to | are going to] [<adv>] (take | takes |
    taking) [it | your case | this | <case>] over [from (here | me)] | who [will] [<adv>] (contact | call |
    phone | ring | email) you [personally | directly | shortly | soon | today | about it] | who [will]
    (handle | handles | deal with | deals with | look after | looks after | take charge of | takes charge
    of) (<case> | it) [personally | from here [on] | on <order>] | they (have | will have) (<order> | your
    full message | your message | everything | all the details) [now] | (they | she | he) will (contact |
    call | phone | ring | email | get in touch with) you [soon | shortly | directly | personally] | and they
    have your full message | who [will] (be in touch | get in touch [with you]) [soon | shortly | directly]
    | who has your message | they take (over | it) from here | and will be in touch | and [will] (call |
    ring | contact) you [soon | shortly]
commit: <case> (sits | is) [now] on the desk of <who> <es.mod>* | <who> (will | is going to) [<adv>] (look
    into | go through | review | examine) <case> [personally] [and (contact | call | ring | phone | email)
    you] <es.mod>* | <agent> have [<adv>] (asked | got) <who> to (take over | take care of it | handle
    <case> | take over <case> | contact you | call you | deal with <case>) <es.mod>* | <who> (will | is
    going to) (call | ring | phone | contact) you [<es.mod>] | <case> is being (handled | looked after |
    dealt with | reviewed) by <who> <es.mod>* | <agent> have [<adv>] (laid | placed) <case> before <who>
    <es.mod>* | <agent> <escalate.do> <case> [on | over] (to | in front of | before | on to) <who> <es.mod>*
    | <agent> <escalate.do> <case> <es.mod>* (to | in front of) <who> <es.mod>* | <agent> (have [<adv>]
    (escalated) | am escalating | are escalating | escalate) <case> <es.mod>* | <who> <take.does> (<case> |
    charge of <case> | over <case> | <case> over | care of <case> | over) [now] <es.mod>* | <case>
    <escalate.done> [on | over] (to | in front of) <who> <es.mod>* | <case> (goes | went | is going)
    [straight] to <who> <es.mod>* | <who> (is | are | will be) [<adv>] (in charge [of <case>] | responsible
    for <case> | taking over [<case>] | handling <case> | looking after <case> | dealing with <case> | on
    <case>) <es.mod>* | <who> [<adv>] (looks after | will look after | will look at | looks at | handles |
    deals with | will deal with | will handle) <case> <es.mod>* [and (contact | call | ring) you] | <who>
    (has | have) [<adv>] (received | got | your) [your] <case> <es.mod>* [and (takes | take) it over] |
    <agent> have [<adv>] brought in <who> <es.mod>* | <agent> <alert.do> <who> <es.mod>* [of | about]
    [<case>] | <who> (has | have) been [<adv>] (informed | alerted | notified | briefed) [of | about]
    [<case>] <es.mod>* | case escalated to <who> <es.mod>* | (i | we) handed <case> over to <who> <es.mod>*
    | <agent> have [<adv>] handed <case> over to <who> <es.mod>* | (passed | handed | escalated | forwarded)
    <case> [over | on] to <who> <es.mod>* | <case> [is | has been] escalated to <who> <es.mod>* | the safety
    team is now in charge | <case> (is | lies) [now] with <who> <es.mod>* | <who> has your message and takes
    over [from here] | <case> needs a specialist so i [have] forwarded <case> to <who> | <case> is [now] in
    the hands of <who> <es.mod>* | <who> will (contact | call | ring | phone) you [personally | directly |
    shortly | soon] about <case>
next: <es.mod> | <es.then> | all notes attached | [and] [who] takes it over | this needs a specialist |
    nothing more is needed from you
fact: <case> needs a specialist
"""
